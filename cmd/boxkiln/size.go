package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeFlag is a number of bytes as people write it: 512M, 10G, 1.5GiB. Units are powers of 1024.
type sizeFlag int64

const sizeUnits = "KMGTPE"

// String writes the size with the unit that leaves a number below 1024.
func (s sizeFlag) String() string {
	if s < 1024 {
		return fmt.Sprintf("%d B", int64(s))
	}
	v, unit := float64(s)/1024, 0
	for v >= 1024 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", v, sizeUnits[unit])
}

// Set reads a size; it must be above 0.
func (s *sizeFlag) Set(text string) error {
	number, scale := strings.ToUpper(strings.TrimSpace(text)), 1.0
	number = strings.TrimSuffix(strings.TrimSuffix(number, "B"), "I")
	if i := strings.IndexByte(sizeUnits, lastByte(number)); i >= 0 {
		number, scale = number[:len(number)-1], math.Pow(1024, float64(i+1))
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(v*scale >= 1) || v*scale >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size: write it like 512M or 10G", text)
	}
	*s = sizeFlag(v * scale)
	return nil
}

// Type is what the help calls the value.
func (*sizeFlag) Type() string { return "size" }

func lastByte(s string) byte {
	if s == "" {
		return ' '
	}
	return s[len(s)-1]
}
