package transcript

import (
	"bytes"
	"encoding/json"
)

// object and list are JSON that keeps the order of its keys. All other values
// are as package json decodes them, numbers as they were written.
type (
	object []member
	list   []any
)

type member struct {
	key   string
	value any
}

func (o object) find(key string) (value any, present bool) {
	for _, m := range o {
		if m.key == key {
			return m.value, true
		}
	}
	return nil, false
}

func decodeOrdered(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return nextValue(decoder)
}

func nextValue(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := object{}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			value, err := nextValue(decoder)
			if err != nil {
				return nil, err
			}
			o = append(o, member{key.(string), value})
		}
		_, err = decoder.Token()
		return o, err
	case json.Delim('['):
		l := list{}
		for decoder.More() {
			value, err := nextValue(decoder)
			if err != nil {
				return nil, err
			}
			l = append(l, value)
		}
		_, err = decoder.Token()
		return l, err
	}
	return token, nil
}

// pieces render a value as JSON. Between two of them a line may be broken.
func pieces(v any) []string {
	var parts [][]string
	switch v := v.(type) {
	case object:
		for _, m := range v {
			part := pieces(m.value)
			part[0] = show(m.key) + ":" + part[0]
			parts = append(parts, part)
		}
		return enclose("{", parts, "}")
	case list:
		for _, element := range v {
			parts = append(parts, pieces(element))
		}
		return enclose("[", parts, "]")
	}
	return []string{show(v)}
}

func enclose(open string, parts [][]string, shut string) []string {
	all := []string{open}
	for i, part := range parts {
		if i == 0 {
			all[0] += part[0]
			part = part[1:]
		} else {
			all[len(all)-1] += ","
		}
		all = append(all, part...)
	}
	all[len(all)-1] += shut
	return all
}

// show renders a scalar, or what package json decoded, on one line.
func show(v any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // what was decoded can be encoded
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
