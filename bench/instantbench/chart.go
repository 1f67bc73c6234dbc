//go:build linux

package main

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Charts are SVG that stands within HTML: colours and fonts are classes of the
// page (report.html), c0 to c7 are the peers.

const (
	chartWidth  = 720
	chartHeight = 300
	chartLeft   = 72 // of the plot
	chartBottom = 40
	chartTop    = 28
	chartRight  = 110 // names of the lines
	chartColors = 8
)

// polyline is the curve of one peer, as latency has it.
type polyline struct {
	name  string
	curve []float64
}

// lineChart shows latencies over quantiles. Both axes are logarithmic: the
// vertical one in milliseconds, the horizontal one in what lies above.
type lineChart struct {
	title string
	lines []polyline
}

func (c lineChart) svg() template.HTML {
	low, high, length := math.Inf(1), 0.0, 2
	for _, l := range c.lines {
		length = max(length, len(l.curve))
		for _, v := range l.curve {
			low, high = min(low, max(v, 0.001)), max(high, v, 0.002)
		}
	}
	bottom, top := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	if top <= bottom {
		top = bottom + 1
	}
	x := func(i float64) float64 {
		return chartLeft + i/float64(length-1)*(chartWidth-chartLeft-chartRight)
	}
	y := func(ms float64) float64 {
		return chartHeight - chartBottom - (math.Log10(max(ms, 0.001))-bottom)/(top-bottom)*(chartHeight-chartBottom-chartTop)
	}
	var b strings.Builder
	c.open(&b)
	for power := bottom; power <= top; power++ {
		ms := math.Pow(10, power)
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%g ms</text>`,
			chartLeft, chartWidth-chartRight, y(ms), y(ms), chartLeft-6, y(ms)+4, ms)
	}
	for _, percentile := range []float64{0, 50, 90, 99, 99.9, 99.99, 99.999} {
		i := -2 * math.Log2(1-percentile/100)
		if i > float64(length-1) {
			break
		}
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="tick" x="%.1f" y="%d" text-anchor="middle">%g %%</text>`,
			x(i), x(i), chartTop, chartHeight-chartBottom, x(i), chartHeight-chartBottom+16, percentile)
	}
	for i, l := range c.lines {
		var points strings.Builder
		for j, v := range l.curve {
			fmt.Fprintf(&points, "%.1f,%.1f ", x(float64(j)), y(v))
		}
		fmt.Fprintf(&b, `<polyline class="line c%d" points="%s"/>`, i%chartColors, strings.TrimSpace(points.String()))
		fmt.Fprintf(&b, `<rect class="mark c%d" x="%d" y="%d" width="10" height="10"/><text class="name" x="%d" y="%d">%s</text>`,
			i%chartColors, chartWidth-chartRight+10, chartTop+18*i, chartWidth-chartRight+25, chartTop+18*i+9, template.HTMLEscapeString(l.name))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text in it is escaped
}

func (c lineChart) open(b *strings.Builder) {
	title := template.HTMLEscapeString(c.title)
	fmt.Fprintf(b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s"><text class="title" x="%d" y="16">%s</text>`,
		chartWidth, chartHeight, title, chartLeft, title)
}

// barChart shows ratios: bars begin at 1 and go right for more, left for less,
// on a logarithmic axis from an eighth to eight.
type barChart []ratio

const (
	barHeight = 20
	barLeft   = 380 // where names end
	barReach  = 3   // powers of two to each side
)

func (c barChart) svg() template.HTML {
	height := chartTop + barHeight*len(c)
	middle, half := float64(barLeft+(chartWidth-barLeft)/2), float64(chartWidth-barLeft)/2-44
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="ratios">`, chartWidth, height+4)
	for power := -barReach; power <= barReach; power++ {
		at := middle + half*float64(power)/barReach
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="tick" x="%.1f" y="16" text-anchor="middle">%g</text>`,
			at, at, chartTop-6, height, at, math.Exp2(float64(power)))
	}
	for i, r := range c {
		top := chartTop + barHeight*i
		reach := math.Log2(r.Value) / barReach
		if r.Value <= 0 {
			reach = -1
		}
		reach = max(-1, min(1, reach))
		from, to := middle, middle+half*reach
		fmt.Fprintf(&b, `<text class="name" x="%d" y="%d" text-anchor="end">%s</text>`, barLeft-8, top+14, template.HTMLEscapeString(r.Name))
		fmt.Fprintf(&b, `<rect class="bar" x="%.1f" y="%d" width="%.1f" height="%d"/>`, min(from, to), top+3, math.Abs(to-from), barHeight-6)
		anchor, at := "start", max(from, to)+4
		if reach < 0 {
			anchor, at = "end", min(from, to)-4
		}
		fmt.Fprintf(&b, `<text class="value" x="%.1f" y="%d" text-anchor="%s">%.2f</text>`, at, top+14, anchor, r.Value)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text in it is escaped
}
