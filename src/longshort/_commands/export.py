"""`export`: a trained bundle's networks as ONNX, held against torch on the study's own rows."""

from dataclasses import asdict
from pathlib import Path

from longshort._commands.fit import bundle_folder, going_on
from longshort._commands.terminal import emit_json, say, say_table
from longshort.base.settings import Study
from longshort.models.bundle import Bundle
from longshort.models.onnx.export import DESCRIPTION, TOLERANCE, export_bundle
from longshort.study.market import load_bars
from longshort.study.recipe import recipe_digest

COMPARED_ROWS = 256


def export(study: Study, *, to: Path | None, as_json: bool) -> None:
    """Write the networks, and print by how much onnxruntime differs from torch."""
    bundle = Bundle.load(bundle_folder(study))
    bars = load_bars(study)
    bundle.check(study, bars.symbols, study.features.names or bundle.names, recipe_digest(study))
    folder = to or study.folder / "onnx"
    found = export_bundle(bundle, going_on(study, bundle, bars)[-COMPARED_ROWS:], folder)
    if as_json:
        networks = [asdict(one) | {"path": str(one.path)} for one in found]
        emit_json({"folder": str(folder), "description": str(folder / DESCRIPTION), "networks": networks})
        return
    rows = [
        [
            one.path.name,
            ", ".join(map(str, one.horizons)),
            f"{one.bytes:,}",
            f"{one.largest_difference:.1e}",
            f"{one.rows:,}",
        ]
        for one in found
    ]
    columns = ["network", ">horizons", ">bytes", ">largest difference", ">rows"]
    say_table("Exported to ONNX; onnxruntime against torch", columns, rows)
    say(f"Equal within {TOLERANCE:g} on the study's own rows; how to run them: {folder / DESCRIPTION}")
