package protocol

import (
	"errors"
	"fmt"
	"testing"
)

func TestEveryCodeHasAName(t *testing.T) {
	for i, code := range Codes {
		if int(code) != i || code.String() == "unknown" {
			t.Errorf("code %d stands at %d and is called %s", code, i, code)
		}
	}
}

func TestOnlyWhatIsMeantForTheOutsideGoesThere(t *testing.T) {
	told := fmt.Errorf("commit: %w", Errorf(Forbidden, "only the owner may %s", "rename"))
	if CodeOf(told) != Forbidden || ReasonOf(told) != "only the owner may rename" {
		t.Errorf("got %v %q", CodeOf(told), ReasonOf(told))
	}
	for _, err := range []error{errors.New("disk /dev/sda1"), Errorf(Internal, "secret")} {
		if CodeOf(err) != Internal || ReasonOf(err) != "internal error" {
			t.Errorf("%v: got %v %q", err, CodeOf(err), ReasonOf(err))
		}
	}
}
