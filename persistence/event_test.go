package persistence

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"instantd/protocol"
)

// declaredEvents are the types that the protocol gives the method event.
func declaredEvents(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("../protocol/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no protocol: %v", err)
	}
	var names []string
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, is := d.(*ast.FuncDecl)
			if is && f.Name.Name == "event" && f.Recv != nil {
				names = append(names, f.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func TestEveryEventHasANumberOfItsOwn(t *testing.T) {
	t.Parallel()
	var names []string
	seen := map[byte]bool{}
	for _, e := range eventTypes {
		names = append(names, e.goType.Name())
		if seen[e.number] || e.number == 0 {
			t.Errorf("%s has the number %d, which is taken", e.goType.Name(), e.number)
		}
		seen[e.number] = true
	}
	slices.Sort(names)
	if diff := cmp.Diff(declaredEvents(t), names); diff != "" {
		t.Errorf("events of the protocol (-) and of the table (+) differ:\n%s", diff)
	}
}

// fill gives every field of an event a random value.
func fill(rt *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(rapid.String().Draw(rt, "string"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(rt, "bool"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(rt, "int"))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Uint8().Draw(rt, "byte")))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(rt, "uint"))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rt, v.Field(i))
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 3).Draw(rt, "length")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rt, v.Index(i))
		}
	default:
		rt.Fatalf("fill does not know %s", v.Type())
	}
}

func TestEveryEventRoundTrips(t *testing.T) {
	t.Parallel()
	for _, e := range eventTypes {
		t.Run(e.goType.Name(), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				value := reflect.New(e.goType).Elem()
				fill(rt, value)
				want := value.Interface().(protocol.Event)
				data, err := encodeEvent(want)
				if err != nil {
					rt.Fatal(err)
				}
				got, err := decodeEvent(data)
				if err != nil {
					rt.Fatal(err)
				}
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
					rt.Fatal(diff)
				}
			})
		})
	}
}

func TestTextThatIsNotUTF8CanBeReadAgain(t *testing.T) {
	t.Parallel()
	want := protocol.MessageSent{Sender: "a\xff", Content: protocol.Text("\xc3\x28")}
	data, err := encodeEvent(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeEvent(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(protocol.Event(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestDecodersRefuse(t *testing.T) {
	t.Parallel()
	sent, err := encodeEvent(text1("ann", "hi"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		decode func() error
		want   string
	}{
		{"an empty event", func() error { _, err := decodeEvent(nil); return err }, "empty"},
		{"an unknown event", func() error { _, err := decodeEvent([]byte{255}); return err }, "unknown type number 255"},
		{"a cut event", func() error { _, err := decodeEvent(sent[:len(sent)-1]); return err }, "malformed"},
		{"an event with something behind it", func() error { _, err := decodeEvent(append(slices.Clone(sent), 0)); return err }, "malformed"},
		{"an empty order row", func() error { _, err := decodeOrder(1, nil); return err }, "malformed"},
		{"an order row of an unknown kind", func() error { _, err := decodeOrder(1, []byte{9, 1, 2}); return err }, "malformed"},
		{"a pointer without a conversation", func() error { _, err := decodeOrder(1, pointer("", 1)); return err }, "malformed"},
		{"an order row with a cut key", func() error { _, err := decodeOrder(1, []byte{2, 0, 9, 'a'}); return err }, "malformed"},
		{"a short member row", func() error { _, err := decodeMember("ann", []byte{1}); return err }, "malformed"},
		{"a token row without a class", func() error { _, _, err := decodeToken([]byte("ann")); return err }, "malformed"},
		{"a short client row", func() error { _, err := decodeSent([]byte{1}); return err }, "malformed"},
		{"a short number", func() error { _, err := decodeNumber([]byte{1}); return err }, "want 8"},
		{"a short log key", func() error { _, _, _, err := splitLog([]byte("lc")); return err }, "malformed"},
		{"a key of one part", func() error { _, _, err := splitTwo([]byte("mc")); return err }, "want two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.decode(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func FuzzDecodeStored(f *testing.F) {
	for _, e := range []protocol.Event{
		text1("ann", "hi"), group("ann", "bob"), protocol.MessageRecalled{By: "ann", Target: 1, Message: 2},
		protocol.LoggedIn{Class: protocol.ClassPC, Token: "0011"}, protocol.ReceiptsAdvanced{Receipts: []protocol.Receipt{{Conversation: "c", Delivered: 3}}},
		protocol.PlatformBrokerChanged{Broker: protocol.PlatformBroker{Platform: "p", Port: 5672}},
	} {
		data, err := encodeEvent(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(inline(protocol.UserKey("ann"), data))
	}
	f.Add(pointer("c", 7))
	f.Add([]byte{0, 0, 0, 1, 0xa2, 3, 4, 4, 5})
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := decodeEvent(data); err == nil {
			again, err := encodeEvent(e)
			if err != nil {
				t.Fatalf("%#v was read and cannot be written: %v", e, err)
			}
			back, err := decodeEvent(again)
			if err != nil {
				t.Fatalf("%#v was written and cannot be read: %v", e, err)
			}
			if diff := cmp.Diff(e, back, cmpopts.EquateEmpty()); diff != "" {
				t.Fatal(diff)
			}
		}
		decodeOrder(1, data)
		decodeMember("ann", data)
		decodeToken(data)
		decodeSent(data)
		decode[protocol.User](data)
		decode[protocol.Site](data)
		decode[watermark](data)
		if len(data) > 1 {
			splitLog(data)
			splitTwo(data)
		}
	})
}
