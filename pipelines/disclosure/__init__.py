"""Which published counts are withheld, so that nobody can conclude that one is of few people.

A *cell* is one row of a published aggregate: a denominator, the numerator of whom something is true, and how many
were left out. It is withheld when it is *small* (its people, those of whom it is true, or the others are between one
and the county's threshold), and when showing it would give away one that is. What does that, and what is done:

- **A division.** Parts (with serious mental illness, and others; classes of charges) add up to their whole. When one
  part is withheld, all are; when the whole is, all are. What is left to conclude is that a part lies between nothing
  and the whole.
- **A year.** Its months add up to it, for what counts events. When the withheld months could be told from the year
  (there is one, or they are few together, or bounds on them lie within the small), the year is withheld.
- **Nested measures.** Those connected within 14 days are among those connected within 30, those rebooked for a new
  charge among those rebooked at all. Where the difference of two is small, one of them is withheld.
- **Earlier releases.** A count that was published before and has changed by few tells of those few. It is withheld as
  long as a release on disk shows the earlier one.

Nobody is told which of these it was: that would tell which cell is the small one. What remains open is said in
docs/privacy.md. The bounds of a cell in a table with known margins are those of Frechet, as in Dobra and Fienberg,
"Bounds for cell entries in contingency tables given marginal totals and decomposable graphs", PNAS 97 (2000).
"""

from pipelines.disclosure.parts import is_few, shown_parts
from pipelines.disclosure.withheld import AGGREGATES, build_shown_linkage_quality, build_withheld_cell

__all__ = ["AGGREGATES", "build_shown_linkage_quality", "build_withheld_cell", "is_few", "shown_parts"]
