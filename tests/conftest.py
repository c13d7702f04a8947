"""What holds for every test: how long an example may take says nothing on a busy machine."""

from hypothesis import settings

settings.register_profile("whatever the machine", deadline=None)
settings.load_profile("whatever the machine")
