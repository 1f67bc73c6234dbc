package instant

import (
	"encoding/json"
	"testing"

	"instantd/protocol"
)

// FuzzElements compares the scanner with encoding/json.
func FuzzElements(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add(body)
	}
	for _, text := range []string{
		`{}`, ` [ ] `, `{"a":1}`, "{ \"a\" :\t[1,2 , {\"b\":null}] ,\r\n\"c\\\"d\":\"}]\\\\\" }", `[1,-2.5e3,true,false,null,"x",[],{}]`, `{"":{"":""}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkJSON(body) != nil {
			return
		}
		var object map[string]json.RawMessage
		if begins(body, '{') && json.Unmarshal(body, &object) == nil {
			got := map[string]string{}
			for key, value := range elements(body) {
				got[unquote(key)] = string(value)
			}
			if len(got) != len(object) {
				t.Fatalf("%d fields, want %d", len(got), len(object))
			}
			for key, want := range object {
				if got[key] != string(want) {
					t.Fatalf("%q is %s, want %s", key, got[key], want)
				}
			}
		}
		var array []json.RawMessage
		if begins(body, '[') && json.Unmarshal(body, &array) == nil {
			i := 0
			for _, value := range elements(body) {
				if i == len(array) || string(value) != string(array[i]) {
					t.Fatalf("element %d is %s of %s", i, value, body)
				}
				i++
			}
			if i != len(array) {
				t.Fatalf("%d elements, want %d", i, len(array))
			}
		}
		var text string
		if begins(body, '"') && json.Unmarshal(body, &text) == nil && unquote(body) != text {
			t.Fatalf("got %q, want %q", unquote(body), text)
		}
	})
}

func TestAnObjectHasABoundedNumberOfFields(t *testing.T) {
	t.Parallel()
	body := []byte(`{"name":"n"`)
	for range maxFields {
		body = append(body, `,"x`...)
		body = append(body, byte('a'+len(body)%26))
		body = append(body, `":0`...)
	}
	if _, err := parseObject(append(body, '}')); err != nil {
		t.Errorf("equal fields count once: %v", err)
	}
	body = []byte(`{"name":"n"`)
	for i := range maxFields {
		field, _ := json.Marshal(map[string]int{string(rune('a'+i/26)) + string(rune('a'+i%26)): 0})
		body = append(append(body, ','), field[1:len(field)-1]...)
	}
	_, err := parseObject(append(body, '}'))
	wantRefusal(t, "too many fields", err, protocol.Invalid, "the body has more than 256 fields")
}
