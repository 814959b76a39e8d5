"""The verbs of tunekit. Each verb's own module is imported only when the verb is used."""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tunekit.cli.flags import RecipeCommand
from tunekit.errors import TunekitError
from tunekit.secrecy import HidingStream

if TYPE_CHECKING:
    from tunekit.cli.comparing import Comparing

app = typer.Typer(
    name="tunekit",
    help="Tells whether a fine-tuning job fits your machine, how it will run, and runs it with DeepSpeed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
recipes_app = typer.Typer(help="The recipes that are shipped: list, show, copy, schema.", rich_markup_mode=None)
hardware_app = typer.Typer(help="Machines to plan for: list, show, copy, probe this one.", rich_markup_mode=None)
app.add_typer(recipes_app, name="recipes")
app.add_typer(hardware_app, name="hardware")

RecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or the name of a shipped recipe.", metavar="RECIPE")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Changes to the recipe, e.g. train.max_seq_length=1024.", metavar="[KEY=VALUE]..."),
]
OnHardware = Annotated[
    str | None,
    typer.Option("--on", help="Plan for this hardware: a profile, a YAML file, or `local`.", metavar="HARDWARE"),
]
TrustOption = Annotated[str, typer.Option("--trust", help="both, model or table: overrule one of the two judges.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write it as a page with pictures, for any browser.")
]
CompareOption = Annotated[bool, typer.Option("--compare", help="Beside it, the same job on machines to rent.")]
OwnOption = Annotated[
    list[str] | None,
    typer.Option("--own", metavar="KEY=VALUE", help="What the own machine costs: price, currency, years, kwh, usd."),
]
PricesOption = Annotated[
    Path | None, typer.Option("--prices", metavar="FILE", help="Your price list, or SkyPilot's, instead of ours.")
]
RunArgument = Annotated[str, typer.Argument(help="A run directory, or its name below runs/.", metavar="RUN")]


@app.command(cls=RecipeCommand)
def plan(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    on: OnHardware = None,
    trust: TrustOption = "both",
    json: JsonOption = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print every memory term with its formula.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Run the model's own code without weights, and show its activations too.")
    ] = False,
    html: HtmlOption = None,
    compare: CompareOption = False,
    own: OwnOption = None,
    prices: PricesOption = None,
) -> None:
    """Show what would happen: verdict, memory, batch, decisions, fixes. Starts nothing."""
    from tunekit.cli.plan import Views, show_plan

    comparing = _comparing(compare, own, prices)
    views = Views(json=json, explain=explain, trace=trace, html=html, comparing=comparing)
    show_plan(recipe, overrides or [], on=on, trust=trust, views=views)


@app.command(cls=RecipeCommand)
def launch(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    on: OnHardware = None,
    trust: TrustOption = "both",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be started, and start nothing.")] = False,
    master_port: Annotated[
        int | None, typer.Option("--master-port", help="Rendezvous port of the ranks. Not set: a free one.")
    ] = None,
    on_oom: Annotated[
        str, typer.Option("--on-oom", help="stop, or retry: go on with the smallest change that is known to fit.")
    ] = "stop",
    json: JsonOption = False,
) -> None:
    """Plan, check the machine, run with deepspeed, watch, report."""
    from tunekit.cli.launch import launch_recipe

    launch_recipe(
        recipe, overrides or [], on=on, trust=trust, dry=dry_run, json=json, master_port=master_port, on_oom=on_oom
    )


@app.command(cls=RecipeCommand)
def doctor(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe, to ask whether it can run here.", metavar="[RECIPE]")
    ] = None,
    overrides: Overrides = None,
    on: OnHardware = None,
    trust: TrustOption = "both",
    build_ops: Annotated[
        bool, typer.Option("--build-ops", help="Compile DeepSpeed's ops that are needed, now and once.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Is this machine ready? Every check with what was found, why it matters and what to type."""
    from tunekit.cli.doctor import show_doctor

    show_doctor(recipe, overrides or [], on=on, trust=trust, build_ops=build_ops, json=json)


@app.command(cls=RecipeCommand)
def fit(
    model: Annotated[
        str, typer.Argument(help="Hub id, local folder with config.json, or .gguf file.", metavar="MODEL")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Keys of a recipe that are fixed, e.g. method.rank=64.", metavar="[KEY=VALUE]..."),
    ] = None,
    on: OnHardware = None,
    method: Annotated[
        str | None, typer.Option("--method", help="full, lora or qlora. Not set: all three are searched.")
    ] = None,
    seq: Annotated[int | None, typer.Option("--seq", help="Tokens per row. Not set: 2048.")] = None,
    tokens: Annotated[str | None, typer.Option("--tokens", metavar="N", help="Tokens to train on, e.g. 10M.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="PATH", help="The data: its size tells tokens.")] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", help="Passes over --data. Not set: 1.")] = None,
    goal: Annotated[str, typer.Option("--goal", help="speed, memory or cost.")] = "speed",
    trust: TrustOption = "both",
    write: Annotated[Path | None, typer.Option("--write", metavar="FILE", help="Save it as a recipe.")] = None,
    html: HtmlOption = None,
    compare: CompareOption = False,
    own: OwnOption = None,
    prices: PricesOption = None,
    json: JsonOption = False,
) -> None:
    """Search every way to train MODEL on a machine, and recommend one. Starts nothing."""
    from tunekit.cli.fit import Asked, show_fit, tokens_typed

    fixed = {"train.max_seq_length": seq, "train.num_epochs": epochs}
    said = {key: value for key, value in fixed.items() if value is not None}
    words = [f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in said.items()]
    asked = Asked(
        model=model,
        overrides=(*(overrides or ()), *words),
        on=on,
        method=method,
        tokens=tokens_typed(tokens),
        data=data,
        goal=goal,
        trust=trust,
    )
    show_fit(asked, write=write, html=html, json=json, comparing=_comparing(compare, own, prices))


@recipes_app.callback(invoke_without_command=True)
def recipes(context: typer.Context, json: JsonOption = False) -> None:
    """List the shipped recipes."""
    if context.invoked_subcommand is None:
        from tunekit.cli.recipes import list_recipes

        list_recipes(json=json)


@recipes_app.command("show")
def recipes_show(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Print a shipped recipe."""
    from tunekit.cli.recipes import show_recipe

    show_recipe(name)


@recipes_app.command("copy")
def recipes_copy(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    file: Annotated[Path, typer.Argument(metavar="FILE")],
) -> None:
    """Copy a shipped recipe to FILE; an existing file is never overwritten."""
    from tunekit.cli.recipes import copy_recipe

    copy_recipe(name, file)


@recipes_app.command("schema")
def recipes_schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from tunekit.cli.recipes import print_schema

    print_schema()


@hardware_app.callback(invoke_without_command=True)
def hardware(context: typer.Context, json: JsonOption = False) -> None:
    """List the hardware profiles."""
    if context.invoked_subcommand is None:
        from tunekit.cli.hardware import list_hardware

        list_hardware(json=json)


@hardware_app.command("show")
def hardware_show(name: Annotated[str, typer.Argument(metavar="NAME")], json: JsonOption = False) -> None:
    """Print one profile, or `local` for this machine."""
    from tunekit.cli.hardware import show_hardware

    show_hardware(name, json=json)


@hardware_app.command("copy")
def hardware_copy(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    file: Annotated[Path, typer.Argument(metavar="FILE")],
) -> None:
    """Copy a shipped profile to FILE, to be changed; an existing file is never overwritten."""
    from tunekit.cli.hardware import copy_hardware

    copy_hardware(name, file)


@hardware_app.command("probe")
def hardware_probe(
    write: Annotated[
        str | None,
        typer.Option("--write", metavar="FILE", help="Keep it as a YAML file; `local`: plans for local use it."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure this machine, in less than 60 seconds: cards, links, RAM, drive, CPU Adam."""
    from tunekit.cli.probe import probe_machine

    probe_machine(write=write, json=json)


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="Where the run directories lie.", metavar="[FOLDER]")] = Path("runs"),
    json: JsonOption = False,
) -> None:
    """List runs: state, step, loss, when."""
    from tunekit.cli.runs import list_runs

    list_runs(folder, json=json)


@app.command()
def status(run: RunArgument, json: JsonOption = False) -> None:
    """Show one run: state, progress, measured against planned."""
    from tunekit.cli.runs import show_status

    show_status(run, json=json)


@app.command()
def logs(
    run: RunArgument,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Keep printing until the run ends.")] = False,
    rank: Annotated[int, typer.Option("--rank", help="Which process.")] = 0,
) -> None:
    """Print the log of a run."""
    from tunekit.cli.runs import print_logs

    print_logs(run, follow=follow, rank=rank)


@app.command()
def explain(
    names: Annotated[
        list[str],
        typer.Argument(
            help="A run, or the logs of any deepspeed, accelerate or torchrun job; - for standard input.",
            metavar="RUN|LOG",
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Say what went wrong, and what to type."""
    from tunekit.cli.explain import explain as explain_them

    explain_them(names, json=json)


@app.command()
def stop(run: RunArgument) -> None:
    """Stop a run; a checkpoint is kept where one was due."""
    from tunekit.cli.runs import stop_run

    stop_run(run)


@app.command()
def resume(run: RunArgument, overrides: Overrides = None) -> None:
    """Go on from the newest complete checkpoint, as a new attempt; on other hardware with `hardware=…`."""
    from tunekit.cli.launch import resume_run

    resume_run(run, overrides or [])


@app.command()
def calibrate(
    runs: Annotated[list[str] | None, typer.Argument(help="Finished runs of this machine.", metavar="[RUN]...")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print what is known of this machine.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Forget what was measured on this machine.")] = False,
    json: JsonOption = False,
) -> None:
    """Take over what runs measured on this machine; later plans of it use that and say so."""
    from tunekit.cli.calibrate import calibrate_machine

    calibrate_machine(runs or [], show=show, reset=reset, json=json)


def _comparing(compare: bool, own: list[str] | None, prices: Path | None) -> Comparing | None:
    """What was asked of prices; None where nothing was."""
    if not (compare or own or prices):
        return None
    from tunekit.cli.comparing import Comparing

    return Comparing(own=tuple(own or ()), prices=prices)


def _version(value: bool) -> None:
    if value:
        from tunekit import __version__

        typer.echo(f"tunekit {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Tells whether a fine-tuning job fits your machine, how it will run, and runs it with DeepSpeed."""


def main() -> NoReturn:
    """Run the command line; exit 0 done, 1 failed, 2 wrong use, 3 does not fit, 4 missing, 130 interrupted."""
    if os.environ.get("COLUMNS") == "0":
        # Some wrappers export it where there is no terminal; rich would print nothing.
        del os.environ["COLUMNS"]
    # A stream that the caller has closed is None.
    sys.stdout, sys.stderr = HidingStream(sys.stdout or StringIO()), HidingStream(sys.stderr or StringIO())
    try:
        app()
    except TunekitError as error:
        from tunekit.cli.wrapping import for_stream

        print(for_stream(str(error), sys.__stderr__), file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        # Such as a full disk behind `> plan.txt`.
        print(f"{error.filename or 'The output'}: {error.strerror or error}.", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
