"""The commands and their options. Nothing heavy is imported before a command runs: `--help` stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .cache import enable_cache
from .interrupt import leaving_at_once

app = typer.Typer(
    help="Where does a Transformer take its token distribution? Gaussian measures moved by attention, exactly.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"attnflow {version('attnflow')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def init(
    path: Annotated[
        Path | None, typer.Argument(help="The problem file to write (problem.toml); with --steer a folder (steering).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    steer: Annotated[bool, typer.Option("--steer", help="Write examples for `attnflow steer` instead.")] = False,
) -> None:
    """Write a commented problem file to start from."""
    with leaving_at_once():
        from .init import init, init_steering

    if steer:
        raise typer.Exit(init_steering(Path("steering") if path is None else path, force=force))
    raise typer.Exit(init(Path("problem.toml") if path is None else path, force=force))


@app.command()
def simulate(
    problem: Annotated[Path, typer.Argument(help="A problem file (TOML); `attnflow init` writes one.")],
    t1: Annotated[float | None, typer.Option(help="The last time; the result holds the natural steps.")] = None,
    times: Annotated[
        str | None, typer.Option(help='The output times: "0,0.5,100", or start:stop:step as in "0:100:0.5".')
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result to this NetCDF file (.nc).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the result into this file (.png, .pdf, .svg).")] = None,
    animate: Annotated[Path | None, typer.Option(help="Write an animation to this file (.gif).")] = None,
    json: Json = False,
    verify: Annotated[bool, typer.Option("--verify", help="Replay by SciPy's DOP853 and report the error.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 5 when something stays undetermined.")] = False,
    rtol: Annotated[float | None, typer.Option(help="Relative tolerance, 1e-14 to 1e-2.")] = None,
    atol: Annotated[float | None, typer.Option(help="Absolute tolerance, added to it.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="The budget of steps.")] = None,
    stop_at_rest: Annotated[
        bool | None, typer.Option("--stop-at-rest/--no-stop-at-rest", help="End early when nothing moves any more.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Force closed_form, factor_ode or covariance_ode.")] = None,
    layers: Annotated[
        int | None, typer.Option(help="Not the continuous flow: so many residual layers x + step Gamma(x).")
    ] = None,
    step: Annotated[float | None, typer.Option(help="The step of the residual layers (default 1).")] = None,
    with_tokens: Annotated[
        int | None, typer.Option(help="Beside the Gaussian so many tokens, and their distances to it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The seed that draws them (default: the file's, or 0).")] = None,
) -> None:
    """Move the Gaussian or the tokens of a problem file. What is given here goes before what the file says."""
    with leaving_at_once():
        enable_cache()
        from .simulate import Outputs
        from .simulate import simulate as command

    asked = dict(rtol=rtol, atol=atol, max_steps=max_steps, stop_at_rest=stop_at_rest, engine=engine)
    asked |= dict(layers=layers, step=step)
    given = {name: value for name, value in asked.items() if value is not None}
    outputs = Outputs(out=out, plot=plot, animate=animate, json=json)
    tokens = (with_tokens, seed)
    raise typer.Exit(
        command(problem, outputs, t1=t1, times=times, verify=verify, strict=strict, options=given, tokens=tokens)
    )


@app.command()
def compare(
    problem: Annotated[Path, typer.Argument(help="A problem file (TOML); tokens are drawn from its start.")],
    n: Annotated[str, typer.Option("--n", help='The numbers of tokens: "256,1024,4096".')] = "256,1024,4096",
    t1: Annotated[float | None, typer.Option(help="The last of eleven times (default: the times of the file).")] = None,
    times: Annotated[str | None, typer.Option(help='The times: "0,0.5,1", or start:stop:step as in "0:1:0.1".')] = None,
    repeats: Annotated[int | None, typer.Option(help="Independent samples for each number of tokens (4).")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of the samples (0).")] = None,
    tolerance: Annotated[float | None, typer.Option(help="The relative error that is tolerated (0.1).")] = None,
    rtol: Annotated[float | None, typer.Option(help="Relative tolerance of both flows.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the errors to this NetCDF file (.nc).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them into this file (.png, .pdf, .svg).")] = None,
    json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 5 unless the largest n is trusted.")] = False,
) -> None:
    """Tokens beside the Gaussian flow: can the limit of many tokens be trusted at this n? The verdict is on stderr."""
    with leaving_at_once():
        enable_cache()
        from .compare import compare as command

    asked = dict(repeats=repeats, seed=seed, tolerance=tolerance, rtol=rtol)
    given = {name: value for name, value in asked.items() if value is not None}
    raise typer.Exit(
        command(problem, n=n, t1=t1, times=times, out=out, plot=plot, as_json=json, strict=strict, options=given)
    )


@app.command()
def classify(
    problem: Annotated[Path, typer.Argument(help="A problem file (TOML) with constant parameters.")],
    every_start: Annotated[
        bool, typer.Option("--every-start", help="Speak of every positive definite start, not of that of the file.")
    ] = False,
    budget: Annotated[float, typer.Option(help="Seconds to follow one start where no theorem decides.")] = 10.0,
    seed: Annotated[int, typer.Option(help="The seed of the starts that --every-start draws.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw the spectra with margins (.png, .pdf, .svg).")] = None,
    basin: Annotated[Path | None, typer.Option(help="Draw the basins for d = 2 (.png, .pdf, .svg).")] = None,
    json: Json = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 5 when the regime stays undetermined.")] = False,
) -> None:
    """The long run: collapse, limit, rotation, cycle, growth or blow-up, with the theorem it rests on."""
    with leaving_at_once():
        enable_cache()
        from .classify import classify as command

    raise typer.Exit(
        command(
            problem, every_start=every_start, budget=budget, seed=seed, plot=plot, basin=basin, as_json=json,
            latex=latex, strict=strict,
        )
    )  # fmt: skip


@app.command()
def steer(
    origin: Annotated[Path, typer.Option("--from", help="Where to start: a TOML file with a Gaussian.")],
    target: Annotated[Path, typer.Option("--to", help="Where to go: another one, of the same rank.")],
    time: Annotated[float, typer.Option(help="The depth T at which the target is to be reached.")] = 1.0,
    method: Annotated[str | None, typer.Option(help="rotation (default), constant, mccann or paper.")] = None,
    constrain: Annotated[
        str | None, typer.Option(help="attention-only, time-invariant or least-energy: found by optimisation.")
    ] = None,
    fixed: Annotated[
        Path | None, typer.Option("--with", help="The parameters that --constrain fixes: a TOML file with A, B, V, b.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Compile the plan into so many residual layers.")] = None,
    scheme: Annotated[str | None, typer.Option(help="How they are made: exponential (default) or euler.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the plan to this NetCDF file (.nc).")] = None,
    export: Annotated[Path | None, typer.Option(help="Write the layers (64) to this file (.safetensors).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw path, controls and errors (.png, .pdf, .svg).")] = None,
    json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 5 when the target is missed.")] = False,
    seed: Annotated[int, typer.Option(help="The seed of sampled tokens and of an optimisation.")] = 0,
    budget: Annotated[float | None, typer.Option(help="Seconds for an optimisation (60).")] = None,
    rtol: Annotated[float | None, typer.Option(help="Smaller variances, relatively, count as zero (d eps).")] = None,
) -> None:
    """Controls that take one Gaussian to another in finite time; exact, or the best under a constraint."""
    with leaving_at_once():
        enable_cache()
        from .steer import Outputs
        from .steer import steer as command

    options = {name: value for name, value in dict(budget=budget, rtol=rtol).items() if value is not None}
    outputs = Outputs(out=out, export=export, plot=plot, json=json)
    raise typer.Exit(
        command(
            origin, target, outputs, time=time, method=method, constrain=constrain, fixed=fixed, layers=layers,
            scheme=scheme, strict=strict, seed=seed, options=options,
        )
    )  # fmt: skip


@app.command()
def diagnose(
    source: Annotated[
        str | None,
        typer.Argument(metavar="PATH_OR_ID", help="A model folder, a Hugging Face id, or hidden states (.npz)."),
    ] = None,
    random_init: Annotated[
        str | None, typer.Option(metavar="CONFIG", help="Random weights: a folder, a config.json or a model type.")
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="A file with one passage a line: the verdict on real input.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of pictures, for models that read images.")] = None,
    example_text: Annotated[
        bool, typer.Option("--example-text", help="The 400 English passages that ship with attnflow.")
    ] = False,
    tokens: Annotated[int, typer.Option(help="Without text: so many Gaussian tokens (a probe).")] = 8192,
    batches: Annotated[int, typer.Option(help="So many independent clouds of them.")] = 20,
    against: Annotated[
        str | None, typer.Option(help="Compare with another model, or with a diagnosis saved by --save.")
    ] = None,
    fail_on: Annotated[
        str | None, typer.Option(help='Exit with 10 when this holds: "overlap10 < 0.95"; see docs/diagnose-fields.md.')
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report to this file (.html).")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the dataset to this NetCDF file (.nc).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it into this file (.png, .pdf, .svg).")] = None,
    seed: Annotated[int, typer.Option(help="The seed of all that is drawn.")] = 0,
    json: Json = False,
) -> None:
    """Measure a real network layer by layer: does it collapse or blow up, did it change, does the theory hold?"""
    with leaving_at_once():
        enable_cache()
        from .diagnose import diagnose as command

    options = dict(
        text=text, images=images, tokens=tokens, batches=batches, against=against, fail_on=fail_on, seed=seed
    )
    raise typer.Exit(
        command(
            source, random_init=random_init, example_text=example_text, out=out, save=save, plot=plot, as_json=json,
            options=options,
        )
    )  # fmt: skip


@app.command()
def falsify(
    claim: Annotated[str, typer.Argument(help='Conditions: "V < 0, B > 0, Re(spec(A)) > 0"; see docs/falsify.md.')],
    conclusion: Annotated[str | None, typer.Argument(help='"positive definite limit"; or after "=>" before.')] = None,
    dim: Annotated[int, typer.Option(help="The dimension d.")] = 2,
    budget: Annotated[float, typer.Option(help="Seconds to look for.")] = 60.0,
    seed: Annotated[int, typer.Option(help="The seed of the samples.")] = 0,
    json: Json = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX on stdout.")] = False,
    script: Annotated[Path | None, typer.Option(help="Write the proof as a SymPy script to this file (.py).")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 5 when nothing was found.")] = False,
) -> None:
    """Look for a counterexample to a claim made of sign and spectral conditions, and prove it."""
    with leaving_at_once():
        enable_cache()
        from .falsify import falsify as command

    options = dict(dim=dim, budget=budget, seed=seed, as_json=json, as_latex=latex, script=script, strict=strict)
    raise typer.Exit(command(claim, conclusion, **options))  # type: ignore[arg-type]


@app.command()
def reproduce(
    target: Annotated[str | None, typer.Argument(help='What to compute again, e.g. "alcalde2026/fig1".')] = None,
    list_targets: Annotated[bool, typer.Option("--list", help="List the targets.")] = False,
    out_dir: Annotated[
        Path | None, typer.Option(help="The folder for figure, data and numbers (default: out/TARGET).")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Figures 2 to 4: a model's folder or Hugging Face id (default: MiniLM).")
    ] = None,
    random_init: Annotated[
        str | None, typer.Option(help="The same with random weights: a folder, a config.json, or a type: modernbert.")
    ] = None,
    batches: Annotated[int | None, typer.Option(help="How many clouds of Gaussian tokens.")] = None,
    tokens: Annotated[int | None, typer.Option(help="How many tokens each has.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed that draws them, and random weights (0).")] = None,
    json: Json = False,
) -> None:
    """Recompute a published figure, check its numbers. Exits with 10 when one differs."""
    from ..reproduce.probe import Probe
    from . import reproduce as commands

    if target is None or list_targets:
        raise typer.Exit(commands.show_targets(json=json))
    enable_cache()
    probe = Probe(model=model, random_init=random_init, batches=batches, tokens=tokens, seed=seed)
    raise typer.Exit(commands.reproduce(target, out_dir, probe, json=json))


@app.command()
def doctor(json: Json = False) -> None:
    """Check this installation: versions, precision, devices, caches. Exits with 10 when the self-check fails."""
    with leaving_at_once():
        enable_cache()
        from .doctor import doctor as command

    raise typer.Exit(command(json=json))
