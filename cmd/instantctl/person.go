package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"instantd/protocol"
)

// person is an entry of the center's user_import.
type person struct {
	ID       string `json:"standard_id"`
	Name     string `json:"name"`
	Sex      *int   `json:"sex,omitempty"` // 0 male, 1 female, nil unknown
	Platform string `json:"platform_id,omitempty"`

	line int // in the file
}

// columns of the CSV file; all but the first may be missing.
var columns = []string{"standard_id", "name", "sex", "platform_id"}

var byteOrderMark = []byte("\xef\xbb\xbf")

// scientific is what a spreadsheet makes of a long id: its digits are gone.
var scientific = regexp.MustCompile(`^[0-9][.,]?[0-9]*[eE]\+?[0-9]+$`)

// badLines lists everything that is wrong with a file.
type badLines struct {
	problems []string
	more     int
}

const maxProblems = 20

func (b *badLines) add(line int, format string, args ...any) {
	if len(b.problems) == maxProblems {
		b.more++
		return
	}
	b.problems = append(b.problems, fmt.Sprintf("line %d: %s", line, fmt.Sprintf(format, args...)))
}

func (b *badLines) err() error {
	if len(b.problems) == 0 {
		return nil
	}
	return b
}

func (b *badLines) Error() string {
	text := "nobody was imported:\n  " + strings.Join(b.problems, "\n  ")
	if b.more > 0 {
		text += fmt.Sprintf("\n  and %d more", b.more)
	}
	return text
}

// check adds what is wrong with the people to bad.
func check(people []person, bad *badLines) {
	lines := make(map[string]int, len(people))
	for _, p := range people {
		if scientific.MatchString(p.ID) {
			bad.add(p.line, "standard_id %q was rounded by a spreadsheet: format the column as text", p.ID)
		} else if err := protocol.CheckID("standard_id", p.ID); err != nil {
			bad.add(p.line, "%v", err)
		}
		if before, twice := lines[p.ID]; twice && p.ID != "" {
			bad.add(p.line, "standard_id %q stands on line %d already", p.ID, before)
		}
		lines[p.ID] = p.line
		if err := protocol.CheckText("name", p.Name); err != nil {
			bad.add(p.line, "%v", err)
		}
		if len(p.Name) > protocol.MaxNameLength {
			bad.add(p.line, "name is longer than %d bytes", protocol.MaxNameLength)
		}
		if scientific.MatchString(p.Platform) {
			bad.add(p.line, "platform_id %q was rounded by a spreadsheet: format the column as text", p.Platform)
		} else if p.Platform != "" {
			if err := protocol.CheckID("platform_id", p.Platform); err != nil {
				bad.add(p.line, "%v", err)
			}
		}
	}
}

// parseSex reads 0, 1 or nothing.
func parseSex(text string) (*int, error) {
	switch text {
	case "":
		return nil, nil
	case "0":
		return new(int), nil
	case "1":
		one := 1
		return &one, nil
	}
	return nil, fmt.Errorf("sex must be 0 (male), 1 (female) or empty, not %q", text)
}

// decodeCSV reads people from CSV with a heading. A byte order mark and the
// order of the columns do not matter; ids stay text.
func decodeCSV(text []byte) ([]person, error) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	if !utf8.Valid(text) {
		return nil, errors.New("is not UTF-8: save it as CSV UTF-8")
	}
	reader := csv.NewReader(bytes.NewReader(text))
	reader.FieldsPerRecord = -1 // counted here, so that all wrong lines are named at once
	reader.ReuseRecord = true
	heading, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("is empty: the first line must name the columns " + strings.Join(columns, ","))
	}
	if err != nil {
		return nil, err
	}
	place, err := placeColumns(heading)
	if err != nil {
		return nil, err
	}
	width := len(heading)
	var people []person
	bad := &badLines{}
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err // names its line; what follows cannot be told apart
		}
		line, _ := reader.FieldPos(0)
		if len(record) != width {
			bad.add(line, "has %d fields, the heading has %d", len(record), width)
			continue
		}
		field := func(column string) string {
			if i, ok := place[column]; ok {
				return strings.Clone(strings.TrimSpace(record[i]))
			}
			return ""
		}
		sex, err := parseSex(field("sex"))
		if err != nil {
			bad.add(line, "%v", err)
		}
		people = append(people, person{ID: field("standard_id"), Name: field("name"), Sex: sex, Platform: field("platform_id"), line: line})
	}
	check(people, bad)
	return people, bad.err()
}

// placeColumns finds the columns in the heading.
func placeColumns(heading []string) (map[string]int, error) {
	place := map[string]int{}
	for i, name := range heading {
		name = strings.ToLower(strings.TrimSpace(name))
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("line 1: column %q is not one of %s", name, strings.Join(columns, ","))
		}
		if _, twice := place[name]; twice {
			return nil, fmt.Errorf("line 1: column %s stands there twice", name)
		}
		place[name] = i
	}
	if _, ok := place["standard_id"]; !ok {
		return nil, errors.New("line 1: the column standard_id is missing")
	}
	return place, nil
}

// decodeJSON reads people from a JSON list of objects, or from a user_import
// command as the center sends it. Ids may be written as numbers; their digits
// are kept.
func decodeJSON(text []byte) ([]person, error) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	offset, list, err := unwrap(text)
	if err != nil {
		return nil, err
	}
	lineAt := func(at int64) int { return 1 + bytes.Count(text[:offset+int(at)], []byte("\n")) }
	decoder := json.NewDecoder(bytes.NewReader(list))
	decoder.DisallowUnknownFields()
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil, fmt.Errorf("line %d: must be a list of objects with %s", lineAt(0), strings.Join(columns, ", "))
	}
	var people []person
	bad := &badLines{}
	for decoder.More() {
		line := lineAt(startOfValue(list, decoder.InputOffset()))
		var entry struct {
			ID       digits `json:"standard_id"`
			Name     digits `json:"name"`
			Sex      digits `json:"sex"`
			Platform digits `json:"platform_id"`
		}
		if err := decoder.Decode(&entry); err != nil {
			bad.add(line, "%v", err)
			if !isForm(err) {
				return nil, bad // broken syntax: what follows cannot be told apart
			}
			continue
		}
		sex, err := parseSex(string(entry.Sex))
		if err != nil {
			bad.add(line, "%v", err)
		}
		people = append(people, person{ID: string(entry.ID), Name: string(entry.Name), Sex: sex, Platform: string(entry.Platform), line: line})
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("line %d: the list does not end: %w", lineAt(decoder.InputOffset()), err)
	}
	check(people, bad)
	return people, bad.err()
}

// unwrap returns the list of people inside a text and where it begins.
func unwrap(text []byte) (int, []byte, error) {
	trimmed := bytes.TrimLeft(text, " \t\r\n")
	if !bytes.HasPrefix(trimmed, []byte("{")) {
		return 0, text, nil
	}
	var command struct {
		Cmd  string          `json:"cmd"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &command); err != nil {
		return 0, nil, err
	}
	if command.Cmd != "user_import" || command.Data == nil {
		return 0, nil, errors.New("is an object, but no user_import command")
	}
	return bytes.Index(text, command.Data), command.Data, nil
}

// startOfValue skips what may stand between two values of a list.
func startOfValue(text []byte, at int64) int64 {
	for at < int64(len(text)) && strings.IndexByte(" \t\r\n,", text[at]) >= 0 {
		at++
	}
	return at
}

// isForm tells a value of the wrong form, after which a decoder can go on, from
// broken syntax.
func isForm(err error) bool {
	var syntax *json.SyntaxError
	return !errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF)
}

// digits is text that may be written as a number; no digit of it is lost.
type digits string

func (d *digits) UnmarshalJSON(value []byte) error {
	if value[0] == '"' {
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return err
		}
		*d = digits(strings.TrimSpace(text))
		return nil
	}
	if string(value) == "null" {
		return nil
	}
	if value[0] == '-' || (value[0] >= '0' && value[0] <= '9') {
		*d = digits(value)
		return nil
	}
	return fmt.Errorf("%s is neither text nor a number", value)
}
