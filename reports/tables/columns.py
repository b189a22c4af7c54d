"""In which columns people see each table, and what they must know to read it right."""

from __future__ import annotations

from reports import cell_format
from reports.cell_format import Column


def _winner(key: str, heading: str) -> Column:
    """Who is better, marked where one seed speaks of two models and not of methods."""

    def show(row: cell_format.Row) -> str:
        if cell_format.absent(row[key]):
            return cell_format.DASH
        return f"{row[key]}{cell_format.alone(row['seeds']) if row[key] != cell_format.NEITHER else ''}"

    return Column(heading, show, compact=True, align="left")


NAMES = (
    cell_format.text("method", compact=True),
    cell_format.text("variant", compact=True),
    cell_format.text("backbone", compact=True),
    cell_format.printed(cell_format.text("pretrained")),
    cell_format.size("input", "px", compact=True),
    cell_format.text("settings", compact=True),
)
ACCURACIES = (
    cell_format.headline(cell_format.estimate("last_top1", "top-1 last epoch, %", compact=True)),
    cell_format.printed(cell_format.interval("last_top1", "95 % interval")),
    cell_format.estimate("validation_top1", "validation-selected, %", compact=True),
    cell_format.estimate("best_on_test_top1", "best on test, %", compact=True),
)
HEAD_COLUMNS = (
    *NAMES,
    cell_format.size("epochs", "epochs", compact=True),
    cell_format.printed(cell_format.number("views", "passes")),
    cell_format.number("seeds", "seeds", compact=True),
    cell_format.number("failed", "failed"),
    *ACCURACIES,
    cell_format.interval("last_top1_images", "95 % over images alone"),
    cell_format.estimate("last_top5", "top-5, %"),
    cell_format.estimate("last_mean_class", "mean class, %"),
    cell_format.estimate("last_calibration_error", "calibration error, %"),
    cell_format.rate("training_images_per_s", "training, images/s"),
    cell_format.text("trained_on", "trained on"),
    cell_format.number("inference_images_per_s", "inference, images/s", compact=True),
    cell_format.number("train_step_images_per_s", "training step, images/s"),
    cell_format.printed(cell_format.number("inference_peak_memory", "inference memory, GiB", 2, cell_format.GIB)),
    cell_format.number("train_step_peak_memory", "training memory, GiB", 2, cell_format.GIB),
    cell_format.printed(cell_format.number("parameters", "parameters, M", 1, 1e6)),
    cell_format.printed(cell_format.number("flops", "FLOPs, G", 1, 1e9)),
    cell_format.text("profiled_on", "profiled on"),
    cell_format.text("profiled_as", "profiled as"),
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
AVERAGE_NAMES = (cell_format.text("dataset", compact=True), cell_format.text("protocol", compact=True), *NAMES)
AVERAGES = (
    cell_format.number("seeds", "seeds", compact=True),
    cell_format.estimate("last_top1", "mean, %", compact=True),
    cell_format.interval("last_top1", "95 % interval of the mean"),
    cell_format.estimate("validation_top1", "mean, validation-selected, %", compact=True),
    cell_format.estimate("best_on_test_top1", "mean, best on test, %", compact=True),
)
AVERAGE_NOTE = (
    "Top-1 on each subset, last epoch, over the seeds it has; mean over the subsets, each counted alike however many "
    "images it has, over the seeds that all of them have. The interval is for other seeds on these images (Student-t, "
    "marked “seeds”)."
)
RUN_COLUMNS = (
    cell_format.text("run", compact=True),
    cell_format.text("status", compact=True),
    *(cell_format.text(key) for key in ("job", "dataset", "protocol", "method", "variant", "backbone")),
    cell_format.number("seed", "seed"),
    cell_format.number("last", "top-1 last epoch, %", 1, compact=True),
    cell_format.number("validation", "validation-selected, %", 1),
    cell_format.number("best_on_test", "best on test, %", 1),
    cell_format.number("minutes", "minutes", 1, compact=True),
    cell_format.number("resumed", "resumed"),
    cell_format.text("commit"),
    cell_format.yes_no("clean", "clean"),
    cell_format.text("hardware"),
    cell_format.text("error", compact=True),
)
PAPER_COLUMNS = (
    *(cell_format.text(key, compact=True) for key in ("dataset", "method", "variant", "backbone")),
    cell_format.text("protocol", compact=True),
    cell_format.printed(cell_format.text("pretrained")),
    cell_format.size("input", "px"),
    cell_format.text("settings"),
    cell_format.text("published_table", "table", compact=True),
    cell_format.text("published_variant", "variant in the paper"),
    cell_format.size("published_input_size", "px in the paper"),
    cell_format.number("published", "published, %", 1, compact=True),
    cell_format.printed(cell_format.yes_no("published_verified", "verified")),
    cell_format.text("published_source", "source"),
    cell_format.number("seeds", "seeds"),
    *ACCURACIES,
    cell_format.signed("difference", "last − published", compact=True),
    cell_format.signed("best_difference", "best on test − published"),
    cell_format.printed(cell_format.yes_no("covered", "interval covers it")),
    cell_format.words("changed", "changed by hand", compact=True),
    cell_format.words("deviations", "known deviations"),
)
PAPER_NOTE = (
    "Differences in percentage points. Papers that don't say which epoch they report often report the best on test. "
    f"Verified: the value was read in its source, not recalled. {INTERVAL_NOTE}"
)
ABLATION_COLUMNS = (
    *(cell_format.text(key, compact=True) for key in ("dataset", "protocol", "method", "backbone")),
    cell_format.size("input", "px", compact=True),
    cell_format.size("epochs", "epochs", compact=True),
    cell_format.words("variant", compact=True),
    cell_format.text("settings", compact=True),
    cell_format.number("seeds", "seeds", compact=True),
    *ACCURACIES,
    cell_format.signed("difference", "minus the whole method", compact=True),
    cell_format.interval("difference", "95 % interval of that", compact=True),
    cell_format.probability("p_bootstrap", "p"),
    cell_format.words("published", compact=True),
)
ABLATION_NOTE = (
    "Top-1 of the last epoch; differences in percentage points to the variant “paper” over the seeds and test images "
    "that both have, interval and p by bootstrap over images and seeds, not corrected for the number of rows. "
    "With one seed they speak of those two trained models alone."
)
STEP_COLUMNS = (
    *(cell_format.text(key, compact=True) for key in ("dataset", "protocol", "method", "backbone")),
    cell_format.size("input", "px", compact=True),
    cell_format.size("epochs", "epochs", compact=True),
    cell_format.words("from", compact=True),
    cell_format.words("to", compact=True),
    cell_format.words("option", compact=True),
    cell_format.words("before", compact=True),
    cell_format.words("after", compact=True),
    cell_format.number("seeds", "seeds", compact=True),
    cell_format.headline(cell_format.signed("difference", "gain", compact=True)),
    cell_format.interval("difference", "95 % interval", compact=True),
    cell_format.probability("p_bootstrap", "p"),
)
STEP_NOTE = (
    "Two variants that differ in one option and in nothing else; gain of the second over the first in percentage "
    "points of last-epoch top-1, over the seeds and test images that both have, interval and p by bootstrap over "
    "images and seeds, not corrected for the number of rows."
)
PAIRED_COLUMNS = (
    cell_format.words("first", compact=True),
    cell_format.words("second", compact=True),
    cell_format.text("backbone", compact=True),
    cell_format.size("input", "px", compact=True),
    cell_format.size("epochs", "epochs", compact=True),
    cell_format.number("seeds", "seeds", compact=True),
    cell_format.number("images", "images"),
    cell_format.headline(cell_format.signed("difference", "first − second", compact=True)),
    cell_format.interval("difference", "95 % interval", compact=True),
    cell_format.text("p_per_seed", "McNemar per seed"),
    cell_format.probability("p", "p McNemar"),
    cell_format.probability("p_holm", "p McNemar (Holm)", compact=True),
    cell_format.probability("p_bootstrap", "p bootstrap"),
    cell_format.probability("p_bootstrap_holm", "p bootstrap (Holm)", compact=True),
    cell_format.number("family", "pairs corrected for"),
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
    cell_format.words("method", compact=True),
    cell_format.number("wins", "better than", compact=True),
    cell_format.number("losses", "worse than", compact=True),
    cell_format.number("open", "open", compact=True),
)
WINS_NOTE = (
    "Row minus column in percentage points of last-epoch top-1. Better and worse at 5 % by both tests of the paired "
    "comparison, corrected for all pairs of one arena, (n=1): of two models; open: neither is shown to be "
    "better, which is not a tie."
)
MISSING_COLUMNS = (
    cell_format.words("where", compact=True),
    cell_format.words("value", compact=True),
    cell_format.words("reason", compact=True),
)
PROVENANCE_COLUMNS = (
    cell_format.text("kind", compact=True),
    cell_format.text("name", compact=True),
    cell_format.text("value", compact=True),
    cell_format.number("runs", "Runs", compact=True),
)
