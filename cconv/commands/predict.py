"""`cconv predict`"""

import numpy as np

from cconv.commands import runs
from cconv.commands.arguments import add_threads, add_verb, set_threads, whole_number


def add(verbs):
    verb = add_verb(
        verbs, "predict", run, "what a checkpoint sees in an image",
        "Bring an image to the network's size and colours, and print the likeliest classes with their probabilities.\n"
        "PNG, JPEG and so on need Pillow (pip install cconv[data]); .npy, .npz and PGM need nothing.",
        [
            "cconv predict seven.png                              with the newest run below runs/",
            "cconv predict runs/lenet5-digits-001 seven.png",
            "cconv predict scan.jpg --checkpoint model.safetensors --top 5 --invert no",
        ],
    )  # fmt: skip
    verb.add_argument("paths", nargs="+", metavar="[CHECKPOINT] IMAGE", help="checkpoint or run folder, and the image")
    verb.add_argument("--checkpoint", metavar="FILE", help="another way to name the checkpoint")
    verb.add_argument("--top", metavar="N", type=whole_number(1), default=3, help="classes to print (3)")
    verb.add_argument(
        "--invert",
        choices=("auto", "yes", "no"),
        default="auto",
        help="dark ink on light paper: auto looks at the border",
    )
    verb.add_argument("--whole", action="store_true", help="resize the whole image; do not cut out and centre the ink")
    verb.set_defaults(usage_error=verb.error)
    add_threads(verb)


def run(arguments):
    from cconv.data.image import cover, prepare, read_colours, read_image
    from cconv.model import Model

    *checkpoints, image_path = arguments.paths
    if arguments.checkpoint:
        checkpoints.append(arguments.checkpoint)
    if len(checkpoints) > 1:
        arguments.usage_error("name one checkpoint and one image")
    set_threads(arguments)
    path = runs.checkpoint_path(checkpoints[0]) if checkpoints else runs.newest_checkpoint()
    image = read_image(image_path)
    model = Model.load(path)
    channels, height, width = model.input_shape or (1, 28, 28)
    if channels == 3:
        x = cover(read_colours(image_path), (height, width))
    elif channels == 1:
        invert = None if arguments.invert == "auto" else arguments.invert == "yes"
        frame = None if arguments.whole else model.notes.get("frame", 5 / 7)
        x = prepare(image, (height, width), invert, frame)[None]
    else:
        raise ValueError(f"{path}: the network takes {channels} channels; images have 1 or 3")
    logits = model.predict(x[None])[0].astype(np.float64)
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    names = model.notes.get("classes") or [str(k) for k in range(len(chances))]
    for k in np.argsort(-chances, kind="stable")[: arguments.top]:
        print(f"{names[k]}  {100 * chances[k]:5.1f} %")
