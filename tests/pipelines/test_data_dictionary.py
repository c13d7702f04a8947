"""The data dictionary is made from the headers of sql/, so it cannot drift from what is released."""

from pipelines.data_dictionary import DICTIONARY, data_dictionary


def test_the_committed_data_dictionary_is_what_the_headers_say():
    assert DICTIONARY.read_text(encoding="utf-8") == data_dictionary(), (
        "run `python -m pipelines.data_dictionary` and commit the result"
    )
