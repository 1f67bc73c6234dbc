package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sex(n int) *int { return &n }

var comparePeople = cmp.AllowUnexported(person{})

func TestDecodeCSV(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		text string
		want []person
	}{
		{"all columns", "standard_id,name,sex,platform_id\n34020000001320000001,Li Feng,0,34020000002000000001\n",
			[]person{{"34020000001320000001", "Li Feng", sex(0), "34020000002000000001", 2}}},
		{"20 digits stay text", "standard_id\n99999999999999999999\n",
			[]person{{"99999999999999999999", "", nil, "", 2}}},
		{"leading zeros stay", "standard_id\n00000000000000000007\n",
			[]person{{"00000000000000000007", "", nil, "", 2}}},
		{"a byte order mark, CRLF and another order", "\xef\xbb\xbfName,Standard_ID\r\n李风,1\r\n",
			[]person{{"1", "李风", nil, "", 2}}},
		{"blanks around fields do not count", "standard_id, name\n 1 , a b \n",
			[]person{{"1", "a b", nil, "", 2}}},
		{"a quoted name of two lines moves the count", "standard_id,name\n1,\"a, b\"\n\n2,\"c\"\n",
			[]person{{"1", "a, b", nil, "", 2}, {"2", "c", nil, "", 4}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeCSV([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, comparePeople); diff != "" {
				t.Errorf("%q (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

func TestDecodeCSVRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		text string
		want []string
	}{
		{"an empty file", "", []string{"empty", "standard_id,name,sex,platform_id"}},
		{"no heading", "34020000001320000001,Li,0,1\n", []string{"line 1", "34020000001320000001"}},
		{"no ids", "name\nLi\n", []string{"line 1", "standard_id is missing"}},
		{"a column twice", "standard_id,name,name\n", []string{"line 1", "twice"}},
		{"another encoding", "standard_id,name\n1,\xc0\xee\n", []string{"UTF-8"}},
		{"an id that a spreadsheet rounded", "standard_id\n3.402E+19\n", []string{"line 2", "spreadsheet"}},
		{"a sex that is none", "standard_id,sex\n1,male\n", []string{"line 2", "sex", "male"}},
		{"a line too short", "standard_id,name\n1,a\n2\n", []string{"line 3", "1 fields"}},
		{"no id on a line", "standard_id,name\n,a\n", []string{"line 2", "standard_id is missing"}},
		{"an id twice", "standard_id\n1\n2\n1\n", []string{"line 4", "line 2 already"}},
		{"a name too long", "standard_id,name\n1," + strings.Repeat("n", 257) + "\n", []string{"line 2", "256"}},
		{"a quote that does not end", "standard_id,name\n1,\"a\n", []string{"line"}},
		{"all bad lines at once", "standard_id,sex\n1,x\n2,0\n,1\n", []string{"nobody was imported", "line 2", "line 4"}},
		{"many bad lines are counted", "standard_id\n" + strings.Repeat("1e+9\n", 50), []string{"and 79 more"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := decodeCSV([]byte(tt.text))
			wantMentions(t, err, tt.want...)
		})
	}
}

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		text string
		want []person
	}{
		{"a list", "[\n {\"standard_id\":\"34020000001320000001\",\"name\":\"Li\",\"sex\":1,\"platform_id\":\"2\"}\n]",
			[]person{{"34020000001320000001", "Li", sex(1), "2", 2}}},
		{"an id as a number keeps its digits", `[{"standard_id":34020000001320000001,"sex":"0"}]`,
			[]person{{"34020000001320000001", "", sex(0), "", 1}}},
		{"the center's command", "{\"cmd\":\"user_import\",\n\"data\":[{\"standard_id\":\"1 \"},\n{\"standard_id\":\"2\",\"name\":null}]}",
			[]person{{"1", "", nil, "", 2}, {"2", "", nil, "", 3}}},
		{"a byte order mark", "\xef\xbb\xbf[{\"standard_id\":\"1\"}]", []person{{"1", "", nil, "", 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeJSON([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, comparePeople); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		text string
		want []string
	}{
		{"nothing", "", []string{"list of objects"}},
		{"another command", `{"cmd":"user_delete","data":[]}`, []string{"user_import"}},
		{"an unknown field", "[{\"standard_id\":\"1\"},\n{\"id\":\"2\"}]", []string{"line 2", "id"}},
		{"an object for a name", "[{\"standard_id\":\"1\",\"name\":{}}]", []string{"line 1"}},
		{"broken syntax", "[{\"standard_id\":\"1\"},\n{\"standard_id\" \"2\"}]", []string{"line 2"}},
		{"a list that does not end", "[{\"standard_id\":\"1\"}\n", []string{"does not end"}},
		{"an id twice", "[{\"standard_id\":\"1\"},\n{\"standard_id\":1}]", []string{"line 2", "line 1 already"}},
		{"an id that was rounded", `[{"standard_id":3.402e19}]`, []string{"line 1", "spreadsheet"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := decodeJSON([]byte(tt.text))
			wantMentions(t, err, tt.want...)
		})
	}
}

func wantMentions(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one that mentions %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not mention %q:\n%v", part, err)
		}
	}
}

func FuzzDecodeCSV(f *testing.F) {
	f.Add([]byte("standard_id,name,sex,platform_id\n1,a,0,2\n"))
	f.Add([]byte("\xef\xbb\xbfname,standard_id\r\n\"a\"\"b\",1\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) { wantUsable(t, text, decodeCSV) })
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`[{"standard_id":1,"name":"a","sex":0}]`))
	f.Add([]byte(`{"cmd":"user_import","data":[{"standard_id":"1"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) { wantUsable(t, text, decodeJSON) })
}

// wantUsable checks that what a decoder accepts can be sent.
func wantUsable(t *testing.T, text []byte, decode func([]byte) ([]person, error)) {
	people, err := decode(text)
	if err != nil {
		return
	}
	bad := &badLines{}
	if check(people, bad); bad.err() != nil {
		t.Errorf("accepted, but %v", bad)
	}
}
