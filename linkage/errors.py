"""What can go wrong for a user, as opposed to a bug.

Every message is a sentence that names the file, the row and the column where there is one, and says what to do
next. It never carries a value from a record: a value may be a name.
"""


class FamiliarFacesError(Exception):
    """An error shown to the user as one sentence, without a traceback."""

    exit_code = 1


class UsageError(FamiliarFacesError):
    """The command, a settings file or a raw extract is not as described in its documentation."""

    exit_code = 2


class DeliveryRefusedError(FamiliarFacesError):
    """A delivery breaks its contract; nothing of it was loaded."""

    exit_code = 3


class CheckFailedError(FamiliarFacesError):
    """A blocking check failed; the last good state and release are untouched."""

    exit_code = 4


class PolicyError(FamiliarFacesError):
    """An agreement or a sign-off is missing, expired or contradictory."""

    exit_code = 5
