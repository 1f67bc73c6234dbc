//go:build linux

package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
)

// document is an HTML page of reports that needs nothing but itself.
type document struct {
	Title   string
	Goals   []goalRow // none without the goals
	Reports []*report
}

//go:embed report.html
var documentText string

// documentTemplate never changes.
var documentTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"curves":  curves,
	"bars":    ratioBars,
	"checked": (*report).checked,
}).Parse(documentText))

// htmlBeside is where the HTML of a report goes that is saved at path.
func htmlBeside(path string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".html"
}

// saveHTML writes a document.
func saveHTML(path string, d document) error {
	var page bytes.Buffer
	err := documentTemplate.Execute(&page, d)
	if err == nil {
		err = os.WriteFile(path, page.Bytes(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("save the HTML report: %w", err)
	}
	return nil
}

// curves draws the latencies of a report: a chart for each phase and kind of
// latency, a line for each peer.
func curves(r *report) []template.HTML {
	kinds := []struct {
		name string
		of   func(phase) latency
	}{
		{"until the last member had read it", func(p phase) latency { return p.Last }},
		{"until a member had read it", func(p phase) latency { return p.Each }},
		{"until the answer", func(p phase) latency { return p.Answer }},
	}
	if len(r.Tables) > 0 && !hasLast(r) {
		kinds[1].name = "until it was done"
	}
	var charts []template.HTML
	for _, t := range r.Tables {
		for _, kind := range kinds {
			c := lineChart{title: t.Name + ": " + kind.name}
			for _, row := range t.Rows {
				if p, ok := r.summary(t.Name, row.Peer); ok && len(kind.of(p).Curve) > 1 {
					c.lines = append(c.lines, polyline{row.Peer, kind.of(p).Curve})
				}
			}
			if len(c.lines) > 0 {
				charts = append(charts, c.svg())
			}
		}
	}
	return charts
}

// hasLast tells whether members read messages in this report.
func hasLast(r *report) bool {
	for _, p := range r.Summary {
		if p.Last.Count > 0 {
			return true
		}
	}
	return false
}

// ratioBars draws the ratios of a report, nothing when there are none.
func ratioBars(r *report) template.HTML {
	if len(r.Ratios) == 0 {
		return ""
	}
	return barChart(r.Ratios).svg()
}
