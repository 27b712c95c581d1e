"""torch.nn.functional's signatures on top of cconv.functional, for NumPy arrays: convolution, pooling, unfolding, padding."""

from cconv import functional as F

OPERATORS = {}


def of_rank(name, rank):
    return getattr(F, name.replace("#", str(rank)))


def batched(x, rank, also=()):
    """(x with a batch axis, the others likewise, undo)"""
    if x.ndim != rank + 1:
        return x, also, lambda y: y
    return x[None], tuple(a[None] for a in also), lambda y: y[0]


def one_each(value):
    return value if value is None or isinstance(value, int) else tuple(value)


def steps(stride):
    return None if stride is None or stride == () else stride


def _conv(rank):
    def conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        x, _, undo = batched(input, rank)
        y = of_rank("conv#d", rank)(x, weight, bias, stride, padding, dilation, groups)

        def backward(dy):
            dy = dy.reshape(y.shape)
            options = stride, padding, dilation, groups
            dx = of_rank("conv#d_backward_data", rank)(dy, weight, x.shape[2:], *options)
            dw = of_rank("conv#d_backward_weight", rank)(x, dy, weight.shape[2:], *options)
            return {"input": undo(dx), "weight": dw, "bias": dy.sum((0, *range(2, dy.ndim)))}

        return undo(y), backward

    return conv


def _conv_transpose(rank):
    def conv_transpose(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        x, _, undo = batched(input, rank)
        options = stride, padding, output_padding, groups, dilation
        y = of_rank("conv_transpose#d", rank)(x, weight, bias, *options)

        def backward(dy):
            dy = dy.reshape(y.shape)
            dx = of_rank("conv_transpose#d_backward_data", rank)(dy, weight, x.shape[2:], *options)
            dw = of_rank("conv_transpose#d_backward_weight", rank)(x, dy, weight.shape[2:], *options)
            return {"input": undo(dx), "weight": dw, "bias": dy.sum((0, *range(2, dy.ndim)))}

        return undo(y), backward

    return conv_transpose


def _max_pool(rank):
    def max_pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        x, _, undo = batched(input, rank)
        y, indices = of_rank("max_pool#d", rank)(x, kernel_size, steps(stride), padding, dilation, ceil_mode, True)

        def backward(dy):
            return {"input": undo(of_rank("max_pool#d_backward", rank)(dy.reshape(y.shape), indices, x.shape[2:]))}

        return (undo(y), undo(indices)) if return_indices else undo(y), backward

    return max_pool


def _max_unpool(rank):
    def max_unpool(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        x, (indices,), undo = batched(input, rank, (indices,))
        if output_size is None:
            kernel, steps, pads = (
                (v,) * rank if isinstance(v, int) else tuple(v) for v in (kernel_size, stride or kernel_size, padding)
            )
            size = tuple((n - 1) * steps[i] - 2 * pads[i] + kernel[i] for i, n in enumerate(x.shape[2:]))
        else:
            size = tuple(output_size)[-rank:]
        y = of_rank("max_unpool#d", rank)(x, indices, size)

        def backward(dy):
            return {"input": undo(of_rank("max_unpool#d_backward", rank)(dy.reshape(y.shape), indices))}

        return undo(y), backward

    return max_unpool


def _avg_pool(rank):
    def avg_pool(
        input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        x, _, undo = batched(input, rank)
        options = kernel_size, steps(stride), padding, ceil_mode, count_include_pad, divisor_override
        y = of_rank("avg_pool#d", rank)(x, *options)

        def backward(dy):
            return {"input": undo(of_rank("avg_pool#d_backward", rank)(dy.reshape(y.shape), x.shape[2:], *options))}

        return undo(y), backward

    return avg_pool


def _lp_pool(rank):
    def lp_pool(input, norm_type, kernel_size, stride=None, ceil_mode=False):
        x, _, undo = batched(input, rank)
        options = {"ceil_mode": ceil_mode}
        y = of_rank("lp_pool#d", rank)(x, norm_type, kernel_size, steps(stride), **options)

        def backward(dy):
            back = of_rank("lp_pool#d_backward", rank)
            return {"input": undo(back(dy.reshape(y.shape), x, norm_type, kernel_size, steps(stride), **options))}

        return undo(y), backward

    return lp_pool


def _adaptive_avg_pool(rank):
    def adaptive_avg_pool(input, output_size):
        x, _, undo = batched(input, rank)
        y = of_rank("adaptive_avg_pool#d", rank)(x, one_each(output_size))

        def backward(dy):
            back = of_rank("adaptive_avg_pool#d_backward", rank)
            return {"input": undo(back(dy.reshape(y.shape), x.shape[2:]))}

        return undo(y), backward

    return adaptive_avg_pool


def _adaptive_max_pool(rank):
    def adaptive_max_pool(input, output_size, return_indices=False):
        x, _, undo = batched(input, rank)
        y, indices = of_rank("adaptive_max_pool#d", rank)(x, one_each(output_size), True)

        def backward(dy):
            back = of_rank("adaptive_max_pool#d_backward", rank)
            return {"input": undo(back(dy.reshape(y.shape), indices, x.shape[2:]))}

        return (undo(y), undo(indices)) if return_indices else undo(y), backward

    return adaptive_max_pool


for _rank in (1, 2, 3):
    OPERATORS[f"nn.functional.conv{_rank}d"] = _conv(_rank)
    OPERATORS[f"nn.functional.conv_transpose{_rank}d"] = _conv_transpose(_rank)
    OPERATORS[f"nn.functional.max_pool{_rank}d"] = _max_pool(_rank)
    OPERATORS[f"nn.functional.max_unpool{_rank}d"] = _max_unpool(_rank)
    OPERATORS[f"nn.functional.avg_pool{_rank}d"] = _avg_pool(_rank)
    OPERATORS[f"nn.functional.lp_pool{_rank}d"] = _lp_pool(_rank)
    OPERATORS[f"nn.functional.adaptive_avg_pool{_rank}d"] = _adaptive_avg_pool(_rank)
    OPERATORS[f"nn.functional.adaptive_max_pool{_rank}d"] = _adaptive_max_pool(_rank)


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    x, _, undo = batched(input, 2)
    y = F.im2col(x, kernel_size, stride, padding, dilation)

    def backward(dy):
        dx = F.col2im(dy.reshape(y.shape), x.shape[2:], kernel_size, stride, padding, dilation)
        return {"input": undo(dx)}

    return undo(y), backward


def pad(input, pad, mode="constant", value=None):
    pad = tuple(pad)
    y = F.pad(input, pad, mode, value)
    return y, lambda dy: {"input": F.pad_backward(dy, pad, mode)}


OPERATORS["nn.functional.unfold"] = unfold
OPERATORS["nn.functional.pad"] = pad
