package persistence

import (
	"encoding/binary"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Values are CBOR with integer keys. Unknown keys are passed over, so that an
// older server reads what a newer one wrote within one schema version.
var (
	encoding = must(cbor.EncOptions{Sort: cbor.SortCoreDeterministic}.EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey:       cbor.DupMapKeyEnforcedAPF,
		IndefLength:     cbor.IndefLengthForbidden,
		TagsMd:          cbor.TagsForbidden,
		MaxNestedLevels: 16,
		// What was stored must be readable again, whatever a sender put into it.
		UTF8: cbor.UTF8DecodeInvalid,
	}.DecMode())
)

// must is for options that are constant: an error is a defect of this file.
func must[M any](mode M, err error) M {
	if err != nil {
		panic(err)
	}
	return mode
}

func encode(value any) ([]byte, error) {
	data, err := encoding.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", value, err)
	}
	return data, nil
}

func decode[T any](data []byte) (T, error) {
	var value T
	if err := decoding.Unmarshal(data, &value); err != nil {
		return value, fmt.Errorf("stored %T is malformed: %w", value, err)
	}
	return value, nil
}

func decodeNumber(data []byte) (uint64, error) {
	if len(data) != numberSize {
		return 0, fmt.Errorf("stored number has %d bytes, want %d", len(data), numberSize)
	}
	return binary.BigEndian.Uint64(data), nil
}
