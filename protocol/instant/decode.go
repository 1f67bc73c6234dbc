package instant

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"instantd/protocol"
)

// object is a JSON object whose keys are matched without surrounding blanks,
// because the document spells some keys with one (SPEC §1.3). Where both
// spellings are present the exact one wins. Unknown keys are ignored.
type object struct {
	at     string // what its fields are called in errors: "persons[0]."
	fields []field
}

type field struct {
	name  string // without blanks around it
	exact bool   // it was written so
	value json.RawMessage
}

// maxFields bounds the fields of one object, so that looking for one is cheap.
const maxFields = 256

// parseObject reads one JSON object within the limits of depth.
func parseObject(body []byte) (object, error) {
	if err := checkJSON(body); err != nil {
		return object{}, err
	}
	return asObject("", "the body", body)
}

// checkJSON refuses what is no JSON, no UTF-8 or nested too deeply. Everything
// that the other functions here read went through it.
func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return protocol.Errorf(protocol.Invalid, "the body is not valid UTF-8")
	}
	depth, quoted, escaped := 0, false, false
	for _, c := range body {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return protocol.Errorf(protocol.Invalid, "the body is nested deeper than %d", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	if !json.Valid(body) {
		return protocol.Errorf(protocol.Invalid, "the body is not JSON")
	}
	return nil
}

// asObject reads an object; what names it in errors, at is the prefix of its
// fields' names.
func asObject(at, what string, raw json.RawMessage) (object, error) {
	if !begins(raw, '{') {
		return object{}, protocol.Errorf(protocol.Invalid, "%s is not an object", what)
	}
	o := object{at: at, fields: make([]field, 0, 8)}
	for key, value := range elements(raw) {
		if len(o.fields) == maxFields {
			return object{}, protocol.Errorf(protocol.Invalid, "%s has more than %d fields", what, maxFields)
		}
		o.add(unquote(key), value)
	}
	return o, nil
}

// add puts a field into the object. Of two equal ones the later wins.
func (o *object) add(key string, value json.RawMessage) {
	name := strings.TrimSpace(key)
	added := field{name: name, exact: key == name, value: value}
	for i, f := range o.fields {
		if f.name != name {
			continue
		}
		if added.exact || !f.exact {
			o.fields[i] = added
		}
		return
	}
	o.fields = append(o.fields, added)
}

// asObjects reads an array of objects, or a single one.
func asObjects(what string, raw json.RawMessage) ([]object, error) {
	if !begins(raw, '[') {
		o, err := asObject(what+".", what, raw)
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%s is neither a list of objects nor an object", what)
		}
		return []object{o}, nil
	}
	objects := []object{}
	for _, element := range elements(raw) {
		name := what + "[" + strconv.Itoa(len(objects)) + "]"
		o, err := asObject(name+".", name, element)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// name is what a field is called in errors.
func (o object) name(field string) string { return o.at + field }

func (o object) missing(field string) error {
	return protocol.Errorf(protocol.Invalid, "%s is missing", o.name(field))
}

// raw returns a field that is present and not null.
func (o object) raw(field string) (json.RawMessage, bool) {
	for _, f := range o.fields {
		if f.name == field {
			return f.value, string(f.value) != "null"
		}
	}
	return nil, false
}

// text returns a JSON string as it is.
func (o object) text(field string) (text string, present bool, err error) {
	raw, ok := o.raw(field)
	if !ok {
		return "", false, nil
	}
	if !begins(raw, '"') {
		return "", true, protocol.Errorf(protocol.Invalid, "%s is not a string", o.name(field))
	}
	return unquote(raw), true, nil
}

// token returns a string without surrounding blanks, or a number exactly as it
// was written: 20 digits do not survive a float.
func (o object) token(field string) (string, error) {
	raw, ok := o.raw(field)
	if !ok {
		return "", nil
	}
	if c := raw[0]; c == '-' || c >= '0' && c <= '9' {
		return string(raw), nil
	}
	text, _, err := o.text(field)
	if err != nil {
		return "", protocol.Errorf(protocol.Invalid, "%s is neither a string nor a number", o.name(field))
	}
	return strings.TrimSpace(text), nil
}

// id returns a token that may be used as an id, empty when the field is absent
// or blank.
func (o object) id(field string) (string, error) {
	text, err := o.token(field)
	if err != nil || text == "" {
		return "", err
	}
	return text, protocol.CheckID(o.name(field), text)
}

// requiredID is an id that must be there.
func (o object) requiredID(field string) (string, error) {
	text, err := o.id(field)
	if err == nil && text == "" {
		return "", o.missing(field)
	}
	return text, err
}

// integer returns a whole number, written as a number or in a string.
func (o object) integer(field string) (n int, present bool, err error) {
	text, err := o.token(field)
	if err != nil || text == "" {
		return 0, false, err
	}
	n, err = strconv.Atoi(text)
	if err != nil {
		return 0, true, protocol.Errorf(protocol.Invalid, "%s is not a whole number", o.name(field))
	}
	return n, true, nil
}

// seconds returns a duration, rounded up to whole seconds.
func (o object) seconds(field string) (int, error) {
	text, err := o.token(field)
	if err != nil || text == "" {
		return 0, err
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= math.MaxInt32) {
		return 0, protocol.Errorf(protocol.Invalid, "%s is not a number of seconds", o.name(field))
	}
	return int(math.Ceil(f)), nil
}

// label returns a name for people: bounded, without control characters.
func (o object) label(field string) (text string, present bool, err error) {
	text, present, err = o.text(field)
	if err != nil || !present {
		return "", present, err
	}
	if len(text) > protocol.MaxNameLength {
		return "", true, protocol.Errorf(protocol.Invalid, "%s is longer than %d bytes", o.name(field), protocol.MaxNameLength)
	}
	return text, true, protocol.CheckText(o.name(field), text)
}

// flag returns 0 or 1.
func (o object) flag(field string) (bool, error) {
	n, present, err := o.integer(field)
	if err != nil {
		return false, err
	}
	if !present {
		return false, o.missing(field)
	}
	if n != 0 && n != 1 {
		return false, protocol.Errorf(protocol.Invalid, "%s is neither 0 nor 1", o.name(field))
	}
	return n == 1, nil
}

// objects returns an array of objects, or a single one; none when absent.
func (o object) objects(field string) ([]object, error) {
	raw, ok := o.raw(field)
	if !ok {
		return nil, nil
	}
	return asObjects(o.name(field), raw)
}

// persons returns the users that persons or person names, in either form.
func (o object) persons() ([]protocol.UserID, error) {
	for _, field := range []string{"persons", "person"} {
		objects, err := o.objects(field)
		if err != nil {
			return nil, err
		}
		if objects == nil {
			continue
		}
		users := make([]protocol.UserID, 0, len(objects))
		for _, p := range objects {
			id, err := p.requiredID("standard_id")
			if err != nil {
				return nil, err
			}
			users = append(users, protocol.UserID(id))
		}
		return users, nil
	}
	return nil, nil
}
