package main

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written like 64MiB, 1GB or 4096.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseSize reads a size.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), int64(1)
	for _, u := range sizeUnits {
		if before, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(before), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("must be a size such as 64MiB, not %q", text)
	}
	return Size(n * unit), nil
}

// set fills the key's field with what a file or the environment says.
func (k key) set(value any) error {
	switch field := k.field.Addr().Interface().(type) {
	case *string:
		text, err := textOf(value)
		*field = text
		return err
	case *bool:
		return setBool(field, value)
	case *int:
		return setInt(field, value)
	case *time.Duration:
		return setDuration(field, value)
	case *Size:
		return setSize(field, value)
	case *[]string:
		return setList(field, value)
	default:
		panic("config: no setter for " + reflect.TypeOf(field).String())
	}
}

// textOf refuses numbers: YAML would turn an unquoted 20-digit id into a
// rounded one and 0123 into 83.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v), nil
	case nil:
		return "", nil
	case int, int64, uint64, float64, bool, time.Time:
		return "", errors.New("must be text: put it in quotes")
	}
	return "", fmt.Errorf("must be text, not a %s", shape(value))
}

func setBool(field *bool, value any) error {
	switch v := value.(type) {
	case bool:
		*field = v
		return nil
	case string:
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("must be true or false, not %q", v)
		}
		*field = b
		return nil
	}
	return errors.New("must be true or false")
}

func setInt(field *int, value any) error {
	switch v := value.(type) {
	case int:
		*field = v
		return nil
	case string:
		n, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil {
			return fmt.Errorf("must be a whole number, not %q", v)
		}
		*field = n
		return nil
	}
	return errors.New("must be a whole number")
}

func setDuration(field *time.Duration, value any) error {
	if v, ok := value.(int); ok && v == 0 {
		*field = 0
		return nil
	}
	text, ok := value.(string)
	if !ok {
		return errors.New("must be a duration with its unit, such as 30s or 10m")
	}
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil {
		return fmt.Errorf("must be a duration with its unit, such as 30s or 10m, not %q", text)
	}
	*field = d
	return nil
}

func setSize(field *Size, value any) error {
	text, ok := value.(string)
	if n, whole := value.(int); whole {
		text, ok = strconv.Itoa(n), true
	}
	if !ok {
		return errors.New("must be a size such as 64MiB")
	}
	size, err := ParseSize(text)
	if err != nil {
		return err
	}
	*field = size
	return nil
}

// setList takes a YAML list, or text with commas as the environment has it.
func setList(field *[]string, value any) error {
	var items []any
	switch v := value.(type) {
	case nil:
	case []any:
		items = v
	case string:
		for item := range strings.SplitSeq(v, ",") {
			items = append(items, item)
		}
	default:
		return fmt.Errorf("must be a list, not a %s", shape(value))
	}
	list := []string{}
	for _, item := range items {
		text, err := textOf(item)
		if err != nil {
			return fmt.Errorf("has an entry that %w", err)
		}
		if text != "" {
			list = append(list, text)
		}
	}
	*field = list
	return nil
}

func shape(value any) string {
	switch value.(type) {
	case []any:
		return "list"
	case map[string]any:
		return "group of keys"
	}
	return "number"
}

// nearest returns the name of the key that is most like a name that nobody
// knows.
func nearest(name string, keys []key, nameOf func(key) string) string {
	best, distance := "", len(name)+1<<10
	for _, k := range keys {
		if d := editDistance(name, nameOf(k)); d < distance {
			best, distance = nameOf(k), d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements of bytes that
// turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
