package instant

import (
	"testing"
	"time"

	"instantd/protocol"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func TestParseClock(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		zone, text, first, last string
	}{
		"a plain second":                           {"Asia/Shanghai", "20240720122334", "2024-07-20T04:23:34Z", "2024-07-20T04:23:34Z"},
		"with milliseconds":                        {"Asia/Shanghai", " 20240720122334567", "2024-07-20T04:23:34.567Z", "2024-07-20T04:23:34.567Z"},
		"an hour that comes twice is both":         {"Europe/Berlin", "20241027023000", "2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z"},
		"an hour that is skipped is its whole gap": {"Europe/Berlin", "20240331023000", "2024-03-31T00:30:00Z", "2024-03-31T01:30:00Z"},
		"the hour before a change is one":          {"Europe/Berlin", "20241027013000", "2024-10-26T23:30:00Z", "2024-10-26T23:30:00Z"},
		"the hour after a change is one":           {"Europe/Berlin", "20240331033000", "2024-03-31T01:30:00Z", "2024-03-31T01:30:00Z"},
		"half an hour comes twice on Lord Howe":    {"Australia/Lord_Howe", "20240407014500", "2024-04-06T14:45:00Z", "2024-04-06T15:15:00Z"},
	} {
		got, err := parseClock("offset", test.text, zone(t, test.zone))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		first, last := got.first.UTC().Format(time.RFC3339Nano), got.last.UTC().Format(time.RFC3339Nano)
		if first != test.first || last != test.last {
			t.Errorf("%s: %s: got %s to %s, want %s to %s", name, test.text, first, last, test.first, test.last)
		}
	}
}

func TestParseClockRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "2024", "20240720", "2024072012233", "202407201223345", "20241320122334", "20240230000000", "20240720250000", "2024-07-20 12:3", "２０２４０７２０１２２３３４", "20240720122334.67"} {
		_, err := parseClock("offset", text, time.UTC)
		wantRefusal(t, text, err, protocol.Invalid, "offset is not a time like 20240720122334")
	}
}

// Ids at the edges of a second: history at a second holds all of it, unread
// from a second holds all of it, and neither falls into meaning "from the end".
func TestClockBoundsIDs(t *testing.T) {
	t.Parallel()
	moment := time.Date(2024, 7, 20, 4, 23, 34, 0, time.UTC)
	c, err := parseClock("offset", "20240720122334", zone(t, "Asia/Shanghai"))
	if err != nil {
		t.Fatal(err)
	}
	first := protocol.FirstMessageID(moment)
	last := protocol.FirstMessageID(moment.Add(time.Second)) - 1
	if !(first > c.since()) || first-1 > c.since() {
		t.Errorf("since %d does not end right before %d", c.since(), first)
	}
	if !(last < c.through()) || last+1 < c.through() {
		t.Errorf("through %d does not begin right after %d", c.through(), last)
	}
	old, err := parseClock("offset", "19990101000000", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if old.since() != 1 || old.through() != 1 {
		t.Errorf("before all messages: since %d, through %d, want 1 and 1", old.since(), old.through())
	}
}

func TestUTCTimeHasSixDecimals(t *testing.T) {
	t.Parallel()
	for micros, want := range map[int64]string{1742865822839207: "1742865822.839207", 1742865822000001: "1742865822.000001", 1742865822000000: "1742865822.000000"} {
		if got := string(marshal(utcTime(time.UnixMicro(micros)))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
