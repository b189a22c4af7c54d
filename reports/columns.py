"""In which columns people see each table, and what they must know to read it right."""

from __future__ import annotations

from reports import cells
from reports.cells import Column


def _winner(key: str, heading: str) -> Column:
    """Who is better, marked where one seed speaks of two models and not of methods."""

    def show(row: cells.Row) -> str:
        if cells.absent(row[key]):
            return cells.DASH
        return f"{row[key]}{cells.alone(row['seeds']) if row[key] != cells.NEITHER else ''}"

    return Column(heading, show, compact=True, align="left")


NAMES = (
    cells.text("method", compact=True),
    cells.text("variant", compact=True),
    cells.text("backbone", compact=True),
    cells.printed(cells.text("pretrained")),
    cells.size("input", "px", compact=True),
    cells.text("settings", compact=True),
)
ACCURACIES = (
    cells.headline(cells.estimate("last_top1", "top-1 last epoch, %", compact=True)),
    cells.printed(cells.interval("last_top1", "95 % interval")),
    cells.estimate("validation_top1", "validation-selected, %", compact=True),
    cells.estimate("best_on_test_top1", "best on test, %", compact=True),
)
HEAD_COLUMNS = (
    *NAMES,
    cells.size("epochs", "epochs", compact=True),
    cells.printed(cells.number("views", "passes")),
    cells.number("seeds", "seeds", compact=True),
    cells.number("failed", "failed"),
    *ACCURACIES,
    cells.interval("last_top1_images", "95 % over images alone"),
    cells.estimate("last_top5", "top-5, %"),
    cells.estimate("last_mean_class", "mean class, %"),
    cells.estimate("last_calibration_error", "calibration error, %"),
    cells.rate("training_images_per_s", "training, images/s"),
    cells.text("trained_on", "trained on"),
    cells.number("inference_images_per_s", "inference, images/s", compact=True),
    cells.number("train_step_images_per_s", "training step, images/s"),
    cells.printed(cells.number("inference_peak_memory", "inference memory, GiB", 2, cells.GIB)),
    cells.number("train_step_peak_memory", "training memory, GiB", 2, cells.GIB),
    cells.printed(cells.number("parameters", "parameters, M", 1, 1e6)),
    cells.printed(cells.number("flops", "FLOPs, G", 1, 1e9)),
    cells.text("profiled_on", "profiled on"),
    cells.text("profiled_as", "profiled as"),
)
INTERVAL_NOTE = (
    "The 95 % interval is for other test images and other seeds (bootstrap over both); where predictions are not "
    "stored it is for other seeds on these images (Student-t, marked “seeds”); one seed has none."
)
HEAD_NOTE = (
    f"Mean ± standard deviation over seeds. {INTERVAL_NOTE} Over images alone: for other test images and these very "
    "models. Last epoch is the headline; best on test lets the test set choose the epoch and is optimistic; where one "
    "epoch was evaluated nothing was selected, and neither is told. Top-5, "
    "mean class and calibration error are of the last epoch. Training images/s are end to end, with the range over "
    "seeds where they differ by more than a tenth; inference, training step and memory come from the "
    "profile that is named by its device, batch and precision: rates are the median of its repeats. Passes are those "
    "of the network per test image."
)
AVERAGE_NAMES = (cells.text("dataset", compact=True), cells.text("protocol", compact=True), *NAMES)
AVERAGES = (
    cells.number("seeds", "seeds", compact=True),
    cells.estimate("last_top1", "mean, %", compact=True),
    cells.interval("last_top1", "95 % interval of the mean"),
    cells.estimate("validation_top1", "mean, validation-selected, %", compact=True),
    cells.estimate("best_on_test_top1", "mean, best on test, %", compact=True),
)
AVERAGE_NOTE = (
    "Top-1 on each subset, last epoch, over the seeds it has; mean over the subsets, each counted alike however many "
    "images it has, over the seeds that all of them have. The interval is for other seeds on these images (Student-t, "
    "marked “seeds”)."
)
RUN_COLUMNS = (
    cells.text("run", compact=True),
    cells.text("status", compact=True),
    *(cells.text(key) for key in ("job", "dataset", "protocol", "method", "variant", "backbone")),
    cells.number("seed", "seed"),
    cells.number("last", "top-1 last epoch, %", 1, compact=True),
    cells.number("validation", "validation-selected, %", 1),
    cells.number("best_on_test", "best on test, %", 1),
    cells.number("minutes", "minutes", 1, compact=True),
    cells.number("resumed", "resumed"),
    cells.text("commit"),
    cells.yes_no("clean", "clean"),
    cells.text("hardware"),
    cells.text("error", compact=True),
)
PAPER_COLUMNS = (
    *(cells.text(key, compact=True) for key in ("dataset", "method", "variant", "backbone")),
    cells.text("protocol", compact=True),
    cells.printed(cells.text("pretrained")),
    cells.size("input", "px"),
    cells.text("settings"),
    cells.text("published_table", "table", compact=True),
    cells.text("published_variant", "variant in the paper"),
    cells.size("published_input_size", "px in the paper"),
    cells.number("published", "published, %", 1, compact=True),
    cells.printed(cells.yes_no("published_verified", "verified")),
    cells.text("published_source", "source"),
    cells.number("seeds", "seeds"),
    *ACCURACIES,
    cells.signed("difference", "last − published", compact=True),
    cells.signed("best_difference", "best on test − published"),
    cells.printed(cells.yes_no("covered", "interval covers it")),
    cells.words("changed", "changed by hand", compact=True),
    cells.words("deviations", "known deviations"),
)
PAPER_NOTE = (
    "Differences in percentage points. Papers that don't say which epoch they report often report the best on test. "
    f"Verified: the value was read in its source, not recalled. {INTERVAL_NOTE}"
)
ABLATION_COLUMNS = (
    *(cells.text(key, compact=True) for key in ("dataset", "protocol", "method", "backbone")),
    cells.size("input", "px", compact=True),
    cells.size("epochs", "epochs", compact=True),
    cells.words("variant", compact=True),
    cells.text("settings", compact=True),
    cells.number("seeds", "seeds", compact=True),
    *ACCURACIES,
    cells.signed("difference", "minus the whole method", compact=True),
    cells.interval("difference", "95 % interval of that", compact=True),
    cells.probability("p_bootstrap", "p"),
    cells.words("published", compact=True),
)
ABLATION_NOTE = (
    "Top-1 of the last epoch; differences in percentage points to the variant “paper” over the seeds and test images "
    "that both have, interval and p by bootstrap over images and seeds, not corrected for the number of rows. "
    "With one seed they speak of those two trained models alone."
)
STEP_COLUMNS = (
    *(cells.text(key, compact=True) for key in ("dataset", "protocol", "method", "backbone")),
    cells.size("input", "px", compact=True),
    cells.size("epochs", "epochs", compact=True),
    cells.words("from", compact=True),
    cells.words("to", compact=True),
    cells.words("option", compact=True),
    cells.words("before", compact=True),
    cells.words("after", compact=True),
    cells.number("seeds", "seeds", compact=True),
    cells.headline(cells.signed("difference", "gain", compact=True)),
    cells.interval("difference", "95 % interval", compact=True),
    cells.probability("p_bootstrap", "p"),
)
STEP_NOTE = (
    "Two variants that differ in one option and in nothing else; gain of the second over the first in percentage "
    "points of last-epoch top-1, over the seeds and test images that both have, interval and p by bootstrap over "
    "images and seeds, not corrected for the number of rows."
)
PAIRED_COLUMNS = (
    cells.words("first", compact=True),
    cells.words("second", compact=True),
    cells.text("backbone", compact=True),
    cells.size("input", "px", compact=True),
    cells.size("epochs", "epochs", compact=True),
    cells.number("seeds", "seeds", compact=True),
    cells.number("images", "images"),
    cells.headline(cells.signed("difference", "first − second", compact=True)),
    cells.interval("difference", "95 % interval", compact=True),
    cells.text("p_per_seed", "McNemar per seed"),
    cells.probability("p", "p McNemar"),
    cells.probability("p_holm", "p McNemar (Holm)", compact=True),
    cells.probability("p_bootstrap", "p bootstrap"),
    cells.probability("p_bootstrap_holm", "p bootstrap (Holm)", compact=True),
    cells.number("family", "pairs corrected for"),
    _winner("better", "better at 5 %"),
)
PAIRED_NOTE = (
    "Last-epoch top-1 on the same test images and the same seeds, in percentage points. McNemar asks whether the "
    "trained models differ on these images: exact per seed, over seeds twice the mean (valid however the seeds depend "
    "on each other; a seed that contradicts the mean counts as 2 − p). The bootstrap over images and "
    "seeds, which gives the interval, asks whether the methods do. Holm: corrected for all pairs of methods that share "
    "data, recipe, backbone, input size and budget, also those that a page leaves out; variants of a method that is "
    "there as a whole are in the table of ablations. Better is who is so by both; with one seed (n=1) that is said of "
    "two models."
)
WINS_COLUMNS = (
    cells.words("method", compact=True),
    cells.number("wins", "better than", compact=True),
    cells.number("losses", "worse than", compact=True),
    cells.number("open", "open", compact=True),
)
WINS_NOTE = (
    "Row minus column in percentage points of last-epoch top-1. Better and worse at 5 % by both tests of the paired "
    "comparison, corrected for all pairs of one arena, (n=1): of two models; open: neither is shown to be "
    "better, which is not a tie."
)
MISSING_COLUMNS = (
    cells.words("where", compact=True),
    cells.words("value", compact=True),
    cells.words("reason", compact=True),
)
PROVENANCE_COLUMNS = (
    cells.text("kind", compact=True),
    cells.text("name", compact=True),
    cells.text("value", compact=True),
    cells.number("runs", "Runs", compact=True),
)
