"""`evaluate --metrics`: several models measured on the images of one data set, resumably."""

from pathlib import Path

from vae.cli.terminal import output_path, phases, remark, say, say_rows

NOT_COMPARABLE = "The models see the images in different sizes or colours, so their figures cannot be compared."


def measure_models(
    models: list[str],
    data: str,
    split: str | None,
    given: dict,
    metrics: list[str],
    features: str,
    csv: Path | None,
    size: int | None,
    device: str,
) -> list[dict]:
    """The rows of the models. given: test_size and value_range, of load_data. A model, a network or a place to write to
    that cannot be had is found out before any work."""
    from vae.checkpoints.describe import describe
    from vae.checkpoints.store import load
    from vae.data.source import unread
    from vae.device import pick_device
    from vae.evaluation.measure import checked_metrics, judges_for, measure
    from vae.evaluation.measurement_files import Unfinished, summary_file, write_images, write_models
    from vae.files import writing

    names = checked_metrics(metrics)
    for path in (csv, csv and summary_file(csv)):
        if path is not None:
            output_path(path, (".csv",))
    models = list(dict.fromkeys(models))
    for name in models:
        describe(name)
    judges = judges_for(names, features, pick_device(device))
    title = judges.features.title if judges.features else None
    unfinished = Unfinished(csv) if csv else None
    rows, measured, sets, originals = [], [], {}, {}
    with phases() as report:
        for name in models:
            model = load(name, device=device)
            config = model.config
            side = config.sample_size if config.fixed_size or size is None else size
            shape = (side, model.in_channels, config.border)
            if shape not in sets:
                sets[shape], part = _images(data, split, shape, given)
                if len(sets) == 1:
                    remark(sets[shape].remarks)
            images = sets[shape]
            path = unfinished.path(model, images, names, title) if unfinished else None
            found = measure(
                model,
                images,
                names,
                judges=judges,
                begun=unfinished.load(path) if unfinished else None,
                originals=originals.get(shape),
                save=(lambda state, path=path: unfinished.save(path, state)) if unfinished else None,
                on_progress=lambda *at, name=name: report(name, *at),
            )
            if shape not in originals and images.names is not None:
                missing = sorted({*range(found.done)} - {*found.numbers})
                remark([unread(len(missing), [images.names[i] for i in missing])] if missing else [])
            originals[shape] = found.originals
            facts = {"model": name, "data": data, "split": part, "size": side, "parameters": model.parameter_count}
            rows.append(facts | found.summary(images.names))
            measured.append((name, images, found))
    if len(sets) > 1:
        remark([NOT_COMPARABLE])
    if csv:
        with writing(csv):
            write_images(csv, measured)
            write_models(summary_file(csv), rows)
        unfinished.remove()
    return rows


def say_measured(rows: list[dict], as_json: bool) -> None:
    """The rows, and for people the percentiles and the worst images of each model by its first figure."""
    if as_json and len(rows) == 1:
        say(rows[0], as_json)
        return
    say_rows(rows, as_json)
    for row in [] if as_json else rows:
        for column, worst in list(row["worst"].items())[:1]:
            levels = (
                f"{level}% {value:.4g}" for level, value in row["percentiles"][column].items() if value is not None
            )
            print(f"{row['model']}, percentiles of {column}: {', '.join(levels)}")
            named = (f"{each['image']} {each[column]:.4g}" for each in worst if each[column] is not None)
            print(f"{row['model']}, the worst by {column}: {', '.join(named)}")


def _images(data: str, split: str | None, shape: tuple[int, int, int], given: dict):
    """The images, read a batch at a time however many there are, and which part of the data they are: unless a split is
    named the test images, or where the data have none of their own all."""
    from vae.data import builtin
    from vae.data.hub import StreamedSet
    from vae.data.sets import LIMIT_BYTES, find, load_data
    from vae.errors import InputError

    here = data in builtin.NAMES or find(data) is not None
    part = {"split": split} if split else {"split": "test", "test_size": None}
    images = load_data(
        data,
        size=shape[0],
        channels=shape[1],
        border=shape[2],
        **(given | part),
        limit_bytes=0 if here else LIMIT_BYTES,
    )
    if isinstance(images, StreamedSet):
        raise InputError(
            f"{data} is too large to be held in memory, and is streamed in no order; download it as a folder to "
            "measure its images one by one."
        )
    own = data in builtin.SPLIT or images.source is None or images.source.splits is not None
    return images, split or ("test" if own else "all")
