package disk

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseSize reads a disk size of a template, such as "40960M", "10G" or "40960", in bytes. Units are powers of 1024;
// b stands for bytes, and a number without a unit counts mebibytes, as in Packer's qemu builder
// (packer-plugin-qemu builder/qemu/config.go).
func ParseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "bBkKmMgGtT")
	unit := strings.ToLower(s[len(digits):])
	shift, known := map[string]uint{"b": 0, "k": 10, "": 20, "m": 20, "g": 30, "t": 40}[unit]
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || !known || n == 0 {
		return 0, fmt.Errorf(`disk size %q: write a number and a unit, such as "40960M" or "10G"; units are b, k, M, G, T`, s)
	}
	if n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("disk size %q is too large", s)
	}
	return int64(n << shift), nil
}
