package boxregistry

import (
	"math/big"
	"slices"
	"strings"
)

// Requirement is a version constraint as in config.vm.box_version: a comma list of Gem::Requirement clauses, all of
// which must hold. The zero value, and an empty text, are met by every version.
type Requirement struct {
	text    string
	clauses []clause
}

type clause struct {
	op      string
	version Version
}

// operators in the order in which they are tried: the longer ones first.
var operators = []string{"~>", ">=", "<=", "!=", "=", ">", "<"}

// ParseRequirement reads a list such as ">= 1.2, < 2". A bare version means "=". The error is an *InvalidNameError.
func ParseRequirement(s string) (Requirement, error) {
	if strings.TrimSpace(s) == "" {
		return Requirement{}, nil
	}
	r := Requirement{text: strings.TrimSpace(s)}
	for part := range strings.SplitSeq(s, ",") {
		c, err := parseClause(strings.TrimSpace(part))
		if err != nil {
			return Requirement{}, &InvalidNameError{Kind: "version requirement", Value: s,
				Want: `want a comma list of versions with = != > < >= <= or ~> before them, for example "~> 1.2, != 1.2.3"`}
		}
		r.clauses = append(r.clauses, c)
	}
	return r, nil
}

func parseClause(s string) (clause, error) {
	c := clause{op: "="}
	for _, op := range operators {
		if rest, ok := strings.CutPrefix(s, op); ok {
			c.op, s = op, strings.TrimSpace(rest)
			break
		}
	}
	var err error
	c.version, err = ParseVersion(s)
	return c, err
}

// String is the requirement as it was written; ">= 0" when it is met by every version.
func (r Requirement) String() string {
	if r.text == "" {
		return ">= 0"
	}
	return r.text
}

// Matches reports whether v meets every clause. As in Gem, "~> 1.2" means at least 1.2 and before 2.
func (r Requirement) Matches(v Version) bool {
	return !slices.ContainsFunc(r.clauses, func(c clause) bool { return !c.matches(v) })
}

func (c clause) matches(v Version) bool {
	order := v.Compare(c.version)
	switch c.op {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case ">":
		return order > 0
	case "<":
		return order < 0
	case ">=":
		return order >= 0
	case "<=":
		return order <= 0
	default: // "~>"
		return order >= 0 && v.release().Compare(c.version.bump()) < 0
	}
}

// release is the version without its pre-release part, Gem::Version#release: of "1.2.rc1", "1.2".
func (v Version) release() Version {
	if !v.Prerelease() {
		return v
	}
	segs := segments(v.text)
	return fromNumbers(segs[:leadingNumbers(segs)])
}

// bump is the first version that "~> v" does not take, Gem::Version#bump: of "1.2.3", "1.3"; of "1", "2".
func (v Version) bump() Version {
	segs := segments(v.text)
	segs = slices.Clone(segs[:leadingNumbers(segs)])
	if len(segs) > 1 {
		segs = segs[:len(segs)-1]
	}
	last := &segs[len(segs)-1]
	n, _ := new(big.Int).SetString(string(*last), 10) // digits only, as long as the version's text may be
	*last = segment(n.Add(n, big.NewInt(1)).String())
	return fromNumbers(segs)
}

func fromNumbers(segs []segment) Version {
	parts := make([]string, len(segs))
	for i, s := range segs {
		parts[i] = string(s)
	}
	return Version{text: strings.Join(parts, "."), key: sortKey(trimZeros(segs))}
}
