//go:build linux

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// told to a page, this must not become a tag.
const nasty = `<script>alert("1")</script>`

func TestHTMLReportNeedsNothingElse(t *testing.T) {
	t.Parallel()
	r := recorderOf(1_000, 2_000, 30_000).latency()
	rep := measured(phase{Peer: "instantd", Name: nasty, Last: r}, phase{Peer: nasty, Name: nasty, Last: r, Answer: r})
	rep.Title, rep.Command, rep.Commit, rep.Date = "a title", "instantbench "+nasty, "0123456789ab", time.Unix(0, 0).UTC()
	rep.Ratios = []ratio{{nasty, 0.5}, {"more", 300}, {"none", 0}}
	rep.Checks = []check{{Messages: 2, Members: 3}}
	rep.tabulate([]column{{"p50", func(p phase) string { return milliseconds(p.Last.P50) }}})
	path := filepath.Join(t.TempDir(), "report.json")
	if err := rep.save(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(htmlBeside(path))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{"a title", "0123456789ab", "1970-01-01", "2 messages, 6 deliveries", "instantbench ", "300.00"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	for _, foreign := range []string{"<script", "http:", "https:", "@import", "url("} {
		if strings.Contains(page, foreign) {
			t.Errorf("%q is in the page", foreign)
		}
	}
	charts := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
	if len(charts) != 3 {
		t.Errorf("%d charts, want the ratios and two latencies", len(charts))
	}
	for _, chart := range charts {
		if err := wellFormed(chart); err != nil || strings.Contains(chart, "NaN") || strings.Contains(chart, "Inf") {
			t.Errorf("a chart is broken: %v\n%s", err, chart)
		}
	}
}

func TestHTMLReportShowsGoals(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "goals.html")
	if err := saveHTML(path, document{Title: "goals", Goals: judge(nil)}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(page), `class="unmeasured">not measured`) {
		t.Errorf("goals are not shown: %v\n%s", err, page)
	}
}

// Latencies of nothing, of one value and of zero must not break a chart.
func TestChartsOfLittle(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		curve []float64
	}{
		{"no latency at all", []float64{0, 0}},
		{"always the same one", []float64{1, 1, 1}},
		{"a very long one", []float64{0.001, 600_000}},
		{"one point", []float64{3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			chart := string(lineChart{"a title", []polyline{{"a name", tt.curve}}}.svg())
			if err := wellFormed(chart); err != nil || strings.Contains(chart, "NaN") || strings.Contains(chart, "Inf") {
				t.Errorf("the chart is broken: %v\n%s", err, chart)
			}
		})
	}
}

func TestCurvesAreAsLongAsTheyAreKnown(t *testing.T) {
	t.Parallel()
	if curve := newRecorder().latency().Curve; curve != nil {
		t.Errorf("of nothing the curve is %v", curve)
	}
	values := make([]int64, 1_000)
	for i := range values {
		values[i] = int64(i + 1)
	}
	l := recorderOf(values...).latency()
	last := len(l.Curve) - 1
	if l.Curve[2] != l.P50 || l.Curve[last] != l.Max || 1_000*(1-quantileOf(last)) >= 1 || 1_000*(1-quantileOf(last-1)) < 1 {
		t.Errorf("of a thousand values the curve is %v, p50 %g, max %g", l.Curve, l.P50, l.Max)
	}
	merged := measured(phase{Peer: "a", Name: "x", Last: l}, phase{Peer: "a", Name: "x", Last: recorderOf(4, 4, 4, 4).latency()}).Summary[0].Last.Curve
	if short := len(recorderOf(4, 4, 4, 4).latency().Curve); len(merged) != short {
		t.Errorf("the median of curves has %d points, want the %d of the shortest", len(merged), short)
	}
}

// recorderOf records microseconds.
func recorderOf(microseconds ...int64) recorder {
	r := newRecorder()
	for _, v := range microseconds {
		r.record(v * 1_000)
	}
	return r
}

func wellFormed(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
