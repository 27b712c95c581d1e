"""What `train` draws into the run folder when matplotlib is installed."""

_MOST = 2000


def draw(model, records, test, names, folder):
    """Write curves, kernels, the confusion matrix and mistakes; returns the names of the files."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return []
    from cconv import metrics, nn, plot

    x, y = test[0][:_MOST], test[1][:_MOST]
    outputs = model.predict(x)
    names = names or None
    figures = {"curves.png": plot.learning_curves({k: v for k, v in records.items() if k not in ("epoch", "seconds")})}
    if any(isinstance(layer, nn.Conv2d) for _, layer in model.net.named_layers()):
        figures["filters.png"] = plot.filters(model.net)
    figures["confusion.png"] = plot.confusion(metrics.confusion_matrix(outputs, y), names)
    figures["mistakes.png"] = plot.misclassified(x, y, outputs, names)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=100)
    return list(figures)
