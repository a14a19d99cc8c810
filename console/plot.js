/**
 * One signal over time: line, expected band, anomaly shading from its onset, and hatched gaps where nothing came.
 * A gap is never bridged by a line.
 */
import uPlot from '/vendor/uplot/uPlot.esm.js';
import { h } from './dom.js';
import { formatNumber, formatTicks, formatTime } from './format.js';

const HEIGHT_PX = 170;
const TABLE_ROWS = 40;

/** A pause longer than this many expected intervals is a gap. */
const GAP_INTERVALS = 3;

/**
 * @param {{
 *   label: string, unit: string, points: [number, number | boolean][], intervalMs: number, range: [number, number],
 *   band?: { at: number, low: number, high: number }[], shades?: { from: number, to: number, label: string }[],
 * }} options times in epoch ms
 * @returns {{ element: HTMLElement, add(at: number, value: number | boolean): void, destroy(): void }}
 */
export function createPlot(options) {
  const points = options.points.map(([at, value]) => [at, Number(value)]);
  const host = h('div');
  const last = h('span', { class: 'soft small' });
  const table = h('tbody');
  const element = h(
    'figure',
    { class: 'plot' },
    h(
      'figcaption',
      {},
      h('strong', {}, options.label),
      options.unit && h('span', { class: 'soft' }, options.unit),
      last,
    ),
    host,
    h(
      'details',
      {},
      h('summary', {}, 'Values as a table'),
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, h('th', {}, 'Time'), h('th', { class: 'number' }, options.unit || 'Value'))),
        table,
      ),
    ),
  );
  let range = options.range;
  let chart;
  let frame = 0;

  function draw() {
    frame = 0;
    chart?.destroy();
    chart = new uPlot(
      chartOptions(options, range, host.clientWidth || 600, gapsOf(points, options, range)),
      dataOf(points, options),
      host,
    );
    describe();
  }

  function describe() {
    const newest = points.at(-1);
    last.textContent = newest ? `last ${formatNumber(newest[1])} at ${formatTime(newest[0])}` : 'no data in this range';
    const step = Math.max(1, Math.ceil(points.length / TABLE_ROWS));
    table.replaceChildren(
      ...points
        .filter((_, index) => index % step === 0)
        .map(([at, value]) =>
          h('tr', {}, h('td', {}, formatTime(at)), h('td', { class: 'number' }, formatNumber(value))),
        ),
    );
  }

  const resize = new ResizeObserver(() => chart?.setSize({ width: host.clientWidth, height: HEIGHT_PX }));
  resize.observe(host);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', draw);
  frame = requestAnimationFrame(draw);

  return {
    element,
    add(at, value) {
      if (points.length > 0 && at <= points.at(-1)[0]) return;
      points.push([at, Number(value)]);
      const spanMs = range[1] - range[0];
      if (at > range[1]) range = [at - spanMs, at];
      while (points.length > 1 && points[1][0] < range[0]) points.shift();
      frame ||= requestAnimationFrame(draw);
    },
    destroy() {
      cancelAnimationFrame(frame);
      resize.disconnect();
      dark.removeEventListener('change', draw);
      chart?.destroy();
    },
  };
}

/** uPlot tells `null` (a gap) from `undefined` (no value at this x because another line has one). */
function dataOf(points, { intervalMs, band = [] }) {
  const xs = [];
  const ys = [];
  for (const [index, [at, value]] of points.entries()) {
    const before = points[index - 1];
    if (before && at - before[0] > GAP_INTERVALS * intervalMs) {
      xs.push((before[0] + 1) / 1000);
      ys.push(null);
    }
    xs.push(at / 1000);
    ys.push(value);
  }
  const bandData = [
    band.map((point) => point.at / 1000),
    band.map((point) => point.high),
    band.map((point) => point.low),
  ];
  return uPlot.join([[xs, ys], bandData], [[2], [1, 1]]);
}

/** Stretches of the range in which nothing came, its edges included. */
function gapsOf(points, { intervalMs }, [from, to]) {
  const limitMs = GAP_INTERVALS * intervalMs;
  const times = [from, ...points.map(([at]) => at), to];
  const gaps = [];
  for (let index = 1; index < times.length; index++) {
    if (times[index] - times[index - 1] > limitMs) gaps.push({ from: times[index - 1], to: times[index] });
  }
  return gaps;
}

function chartOptions({ label, shades = [] }, [from, to], width, gaps) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: colour('soft'),
    grid: { stroke: colour('line'), width: 1 },
    ticks: { stroke: colour('line') },
  };
  return {
    width,
    height: HEIGHT_PX,
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { time: true, min: from / 1000, max: to / 1000, range: () => [from / 1000, to / 1000] } },
    axes: [
      { ...axis, values: (_, seconds) => formatTicks(seconds) },
      { ...axis, size: 64, values: (_, values) => values.map(formatNumber) },
    ],
    series: [
      {},
      { label, stroke: colour('plot'), width: 1.6, points: { show: (chart) => chart.data[0].length < 60, size: 4 } },
      { label: 'expected, high', stroke: 'transparent', points: { show: false } },
      { label: 'expected, low', stroke: 'transparent', points: { show: false } },
    ],
    bands: [{ series: [2, 3], fill: colour('band') }],
    hooks: {
      drawClear: [
        (chart) => {
          for (const gap of gaps) hatch(chart, gap, colour('gap'));
          for (const shade of shades) shadeAnomaly(chart, shade, colour('shade'), colour('critical'));
        },
      ],
      draw: [
        (chart) => {
          for (const shade of shades) nameAnomaly(chart, shade, colour('critical'));
        },
      ],
    },
  };
}

/** Left edge and width of a stretch of time on the canvas, cut to what is shown; `undefined` outside. */
function place(chart, { from, to }) {
  const { left, width } = chart.bbox;
  const at = (ms) => Math.min(left + width, Math.max(left, chart.valToPos(ms / 1000, 'x', true)));
  const start = at(from);
  const end = at(to);
  return end > start ? [start, end - start] : undefined;
}

function shadeAnomaly(chart, shade, fillColour, lineColour) {
  const placed = place(chart, shade);
  if (!placed) return;
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.fillStyle = fillColour;
  ctx.fillRect(placed[0], bbox.top, placed[1], bbox.height);
  ctx.strokeStyle = lineColour;
  ctx.setLineDash([5, 4]);
  ctx.beginPath();
  ctx.moveTo(placed[0], bbox.top);
  ctx.lineTo(placed[0], bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}

/** After the lines, so that nothing is drawn over it. */
function nameAnomaly(chart, shade, colour) {
  const placed = place(chart, shade);
  if (!placed) return;
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.fillStyle = colour;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'alphabetic';
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  const textWidth = ctx.measureText(shade.label).width;
  const room = bbox.left + bbox.width - placed[0];
  ctx.fillText(
    shade.label,
    room > textWidth + 8 ? placed[0] + 5 : placed[0] - textWidth - 5,
    bbox.top + 14 * devicePixelRatio,
  );
  ctx.restore();
}

function hatch(chart, gap, lineColour) {
  const placed = place(chart, gap);
  if (!placed) return;
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.beginPath();
  ctx.rect(placed[0], bbox.top, placed[1], bbox.height);
  ctx.clip();
  ctx.strokeStyle = lineColour;
  ctx.beginPath();
  for (let x = placed[0] - bbox.height; x < placed[0] + placed[1]; x += 8 * devicePixelRatio) {
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.restore();
}
