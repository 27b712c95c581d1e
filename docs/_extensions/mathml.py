"""Formulas as MathML, which browsers draw by themselves: no script, nothing fetched, also on a phone."""

from docutils.utils.math import latex2mathml


def _mathml(latex, display):
    tree = latex2mathml.tex2mathml(latex, as_block=display)
    return tree if isinstance(tree, str) else tree.toxml()


def _inline(writer, node):
    from docutils import nodes

    writer.body.append(_mathml(node.astext(), False))
    raise nodes.SkipNode


def _block(writer, node):
    from docutils import nodes

    writer.body.append(f'<div class="math">{_mathml(node.astext(), True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
