"""Pictures (SVG) of the suite `congestion`: lines over time, and bars beside each other. Standard library only."""
from xml.sax.saxutils import escape

COLOURS = ("#4477aa", "#cc3311", "#228833", "#aa3377", "#ccbb44", "#66ccee", "#888888", "#222222", "#ee7733")
WIDTH, HEIGHT = 760, 300
LEFT, TOP, BOTTOM, LEGEND = 60, 48, 40, 200


def opened(width, height, title):
    return [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>', f'<text x="10" y="20" font-size="15">{escape(title)}</text>']


def ticks(largest, count=5):
    """Round values from 0 to at least `largest`."""
    if largest <= 0:
        return [0, 1]
    raw = largest / count
    power = 10.0 ** (len(str(int(raw))) - 1 if raw >= 1 else -next(i for i in range(1, 12) if raw * 10 ** i >= 1))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    return [step * i for i in range(int(largest / step - 1e-9) + 2)]


def axes(out, right, bottom, largest, unit, at):
    for value in ticks(largest):
        y = at(value)
        out.append(f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    out.append(f'<text x="{LEFT}" y="{TOP - 4}" fill="#444">{escape(unit)}</text>')
    out.append(f'<line x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="#222"/>')


def legend(out, names, x):
    for i, name in enumerate(names):
        y = TOP + 10 + 18 * i
        out.append(f'<rect x="{x}" y="{y - 9}" width="12" height="10" fill="{COLOURS[i % len(COLOURS)]}"/>')
        out.append(f'<text x="{x + 18}" y="{y}">{escape(name)}</text>')


def lines(title, unit, series, limit=None):
    """`series`: [(name, [(seconds, value)])]; `limit`: a dashed line."""
    right, bottom = WIDTH - LEGEND, HEIGHT - BOTTOM
    points = [point for _, values in series for point in values]
    last = max((point[0] for point in points), default=1) or 1
    largest = ticks(max([point[1] for point in points] + [limit or 0]))[-1]
    x = lambda seconds: LEFT + (right - LEFT) * seconds / last
    y = lambda value: bottom - (bottom - TOP) * value / largest
    out = opened(WIDTH, HEIGHT, title)
    axes(out, right, bottom, largest * 0.999, unit, y)
    for second in ticks(last * 0.999):
        if second <= last:
            out.append(f'<text x="{x(second):.1f}" y="{bottom + 16}" text-anchor="middle">{second:g}</text>')
    out.append(f'<text x="{right}" y="{bottom + 32}" text-anchor="end">seconds</text>')
    for i, (_, values) in enumerate(series):
        path = " ".join(f"{x(seconds):.1f},{y(value):.1f}" for seconds, value in values)
        out.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="1.6"/>')
    if limit is not None:
        out.append(f'<line x1="{LEFT}" x2="{right}" y1="{y(limit):.1f}" y2="{y(limit):.1f}" stroke="#222" stroke-dasharray="4 3"/>')
    legend(out, [name for name, _ in series], right + 14)
    return "\n".join([*out, "</svg>"]) + "\n"


def bars(title, unit, groups, names, value_of, limit=None):
    """For each of `groups` a bar for each of `names`; value_of(group, name) is None where there is none."""
    bar, gap = 11, 22
    values = [value for group in groups for name in names if (value := value_of(group, name)) is not None]
    largest = ticks(max(values + [limit or 0], default=1))[-1]
    room = len(names) * bar + gap
    right, bottom = LEFT + room * len(groups), HEIGHT - BOTTOM
    y = lambda value: bottom - (bottom - TOP) * value / largest
    out = opened(right + LEGEND, HEIGHT + 60, title)
    axes(out, right, bottom, largest * 0.999, unit, y)
    for g, group in enumerate(groups):
        start = LEFT + g * room + gap / 2
        out.append(f'<text transform="translate({start + room / 2 - gap / 2:.1f},{bottom + 14}) rotate(25)">{escape(group)}</text>')
        for i, name in enumerate(names):
            value = value_of(group, name)
            if value is not None:
                out.append(f'<rect x="{start + i * bar:.1f}" y="{y(value):.1f}" width="{bar - 1}" height="{max(bottom - y(value), 0.5):.1f}" '
                           f'fill="{COLOURS[i % len(COLOURS)]}"/>')
    if limit is not None:
        out.append(f'<line x1="{LEFT}" x2="{right}" y1="{y(limit):.1f}" y2="{y(limit):.1f}" stroke="#222" stroke-dasharray="4 3"/>')
    legend(out, names, right + 14)
    return "\n".join([*out, "</svg>"]) + "\n"
