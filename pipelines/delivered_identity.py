"""Which identifiers each accepted row of people has: yes or no, never the identifier.

SQL files cannot know which sources are declared, nor which columns an encoding profile has; this view does.
"""

from duckdb import DuckDBPyConnection

from linkage.encoding.profiles import HIGH, Profile
from linkage.source import declared_sources


def create_delivered_identity(connection: DuckDBPyConnection, profile: Profile) -> None:
    """Make the view `delivered_identity` over the `<source>_people` tables of one encoding profile.

    One row per accepted row of people: source, month, client_id, and booleans has_first_name, has_last_name,
    has_birth_date (whole; under the profile `high`, which sends no token of it alone, its year), has_ssn (nine
    digits), has_ssn_last_four, has_sex (other than unknown), has_zip3.
    """
    birth_date = "birth_year" if profile is HIGH else "birth_date_token"
    parts = "\nunion all\n".join(
        f"""
        select
            '{source}' as source,
            month,
            client_id,
            first_name_bits_1 is not null as has_first_name,
            last_name_bits_1 is not null as has_last_name,
            {birth_date} is not null as has_birth_date,
            coalesce(ssn_quality = 'full', false) as has_ssn,
            coalesce(ssn_quality in ('full', 'last4'), false) as has_ssn_last_four,
            coalesce(sex <> 'U', false) as has_sex,
            zip3 is not null as has_zip3
        from {source}_people
        """
        for source in declared_sources()
    )
    connection.execute(f"create or replace view delivered_identity as {parts}").fetchall()
