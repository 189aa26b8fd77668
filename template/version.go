package template

import (
	"fmt"
	"strconv"
	"strings"
)

// version is major, minor and patch; what follows a dash is ignored, as Packer does when it compares itself.
type version [3]int

// parseVersion reads "1", "1.2" or "1.2.3", and tells how many parts there were.
func parseVersion(s string) (v version, parts int, err error) {
	core, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "v"), "-")
	fields := strings.Split(core, ".")
	if len(fields) > len(v) {
		return v, 0, fmt.Errorf("%q is not a version such as 1.2.3", s)
	}
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 10, 31)
		if err != nil {
			return v, 0, fmt.Errorf("%q is not a version such as 1.2.3", s)
		}
		v[i] = int(n)
	}
	return v, len(fields), nil
}

func (v version) compare(o version) int {
	for i := range v {
		if v[i] != o[i] {
			if v[i] < o[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// satisfies tells whether a version meets constraints such as ">= 1.7.0, < 2.0.0" or "~> 1.7".
func satisfies(have, constraints string) (bool, error) {
	v, _, err := parseVersion(have)
	if err != nil {
		return false, err
	}
	for _, c := range strings.Split(constraints, ",") {
		ok, err := meets(v, strings.TrimSpace(c))
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func meets(v version, constraint string) (bool, error) {
	rest := strings.TrimLeft(constraint, "<>=!~")
	operator := constraint[:len(constraint)-len(rest)]
	w, parts, err := parseVersion(rest)
	if err != nil {
		return false, err
	}
	order := v.compare(w)
	switch operator {
	case "", "=":
		return order == 0, nil
	case "!=":
		return order != 0, nil
	case ">":
		return order > 0, nil
	case ">=":
		return order >= 0, nil
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case "~>":
		// The last part given may grow, those before it may not.
		for i := 0; i < parts-1; i++ {
			if v[i] != w[i] {
				return false, nil
			}
		}
		return order >= 0, nil
	}
	return false, fmt.Errorf("%q does not begin with one of = != > >= < <= ~>", constraint)
}
