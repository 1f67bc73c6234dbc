package instant

import (
	"strings"
	"time"

	"instantd/protocol"
)

const clockLayout = "20060102150405"

// clock is a moment as a client writes it: yyyymmddHHMMSS, or with
// milliseconds yyyymmddHHMMSSmmm (SPEC §1.3). Where a change of daylight
// saving time makes one text mean two moments, or none, first and last differ.
type clock struct {
	first, last time.Time
	unit        time.Duration // a second or a millisecond
}

// since is an id below all ids of the moment and later, never 0.
func (c clock) since() protocol.MessageID {
	return max(protocol.FirstMessageID(c.first)-1, 1)
}

// through is an id above all ids of the moment and earlier, never 0.
func (c clock) through() protocol.MessageID {
	return max(protocol.FirstMessageID(c.last.Add(c.unit)), 1)
}

// parseClock reads a time in a location. what names the field in errors.
func parseClock(what, text string, location *time.Location) (clock, error) {
	refused := protocol.Errorf(protocol.Invalid, "%s is not a time like 20240720122334", what)
	text = strings.TrimSpace(text)
	if len(text) != 14 && len(text) != 17 {
		return clock{}, refused
	}
	for _, r := range text {
		if r < '0' || r > '9' {
			return clock{}, refused
		}
	}
	wall, err := time.Parse(clockLayout, text[:14])
	if err != nil {
		return clock{}, refused
	}
	c := clock{unit: time.Second}
	if millis := text[14:]; millis != "" {
		c.unit = time.Millisecond
		wall = wall.Add(time.Duration(int(millis[0]-'0')*100+int(millis[1]-'0')*10+int(millis[2]-'0')) * time.Millisecond)
	}
	c.first, c.last = moments(wall, location)
	return c, nil
}

// moments are the first and the last instant that a wall clock may mean. They
// are the same except in the hour that a change of offset repeats or skips.
func moments(wall time.Time, location *time.Location) (first, last time.Time) {
	_, before := wall.Add(-24 * time.Hour).In(location).Zone()
	_, after := wall.Add(24 * time.Hour).In(location).Zone()
	a := wall.Add(-time.Duration(before) * time.Second)
	b := wall.Add(-time.Duration(after) * time.Second)
	shows := func(t time.Time) bool {
		return t.In(location).Format(clockLayout) == wall.Format(clockLayout)
	}
	switch {
	case shows(a) && !shows(b):
		return a, a
	case shows(b) && !shows(a):
		return b, b
	case b.Before(a):
		return b, a
	}
	return a, b
}

// formatClock writes a time as every create_time is.
func formatClock(t time.Time, location *time.Location) string {
	return t.In(location).Format(clockLayout)
}
