"""Commands about the invented county: demo, simulate."""

from pathlib import Path

import click

from pipelines.cli.root import FOLDER, cli, example


@cli.command(epilog=example("familiar-faces demo --workspace workspace/demo"))
@click.option("--workspace", type=FOLDER, default=Path("workspace/demo"), show_default=True)
@click.option("--people", type=click.IntRange(min=200), default=20_000, show_default=True)
@click.option("--months", type=click.IntRange(min=1, max=120), default=24, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
def demo(workspace: Path, people: int, months: int, seed: int) -> None:
    """Simulate a county, encode its extracts, run the pipeline and publish a release."""
    from pipelines.demo import run_demo

    run_demo(workspace, people=people, months=months, seed=seed)


@cli.command(epilog=example("familiar-faces simulate --people 20000 --months 24 --seed 1 --out county"))
@click.option("--people", type=click.IntRange(min=200), default=20_000, show_default=True)
@click.option("--months", type=click.IntRange(min=1, max=120), default=24, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--out", type=FOLDER, required=True, help="Folder for raw/<source>/<month>/ and truth.parquet.")
@click.option(
    "--format",
    "extract_format",
    type=click.Choice(["template", "native"]),
    default="template",
    show_default=True,
    help="native writes native/<format>/<month>/ besides, as the agencies' vendors would export it.",
)
def simulate(people: int, months: int, seed: int, out: Path, extract_format: str) -> None:
    """Write the raw extracts of a simulated county, and the truth about who is who."""
    from sample_data.county import simulate as simulate_county

    county = simulate_county(people=people, months=months, seed=seed, out=out)
    if extract_format == "native":
        from sample_data.native import write_native

        write_native(out / "raw", out / "native")
    click.echo(county.as_text())
