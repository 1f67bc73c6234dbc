//go:build linux

package main

// order checks that one member gets every place of a conversation once and in
// order, from 1. One goroutine uses it.
type order struct {
	last    uint64              // the greatest seq so far
	missing map[uint64]struct{} // smaller ones that did not come; nil while there are none

	duplicates int
	reordered  int
}

// see notes a seq and tells whether it is new.
func (o *order) see(seq uint64) bool {
	if seq == o.last+1 {
		o.last = seq
		return true
	}
	if seq > o.last {
		if o.missing == nil {
			o.missing = map[uint64]struct{}{}
		}
		for lost := o.last + 1; lost < seq; lost++ {
			o.missing[lost] = struct{}{}
		}
		o.last = seq
		return true
	}
	if _, late := o.missing[seq]; late {
		delete(o.missing, seq)
		o.reordered++
		return true
	}
	o.duplicates++
	return false
}
