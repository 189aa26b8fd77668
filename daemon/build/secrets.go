package build

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Seal takes the secrets and private values out of a plan: it returns the plan's JSON with every occurrence of one
// replaced by a marker, and the secrets, which belong somewhere safer. [Unseal] puts them back.
func Seal(p *Plan) (public []byte, secrets []string, err error) {
	secrets = p.sealed()
	data, err := json.Marshal(p)
	if err != nil {
		return nil, nil, err
	}
	public, err = mapStrings(data, sealer(secrets).Replace)
	return public, secrets, err
}

// Unseal makes the plan again that Seal was given.
func Unseal(public []byte, secrets []string) (*Plan, error) {
	data, err := UnsealData(public, secrets)
	if err != nil {
		return nil, err
	}
	var p Plan
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// SealData hides the plan's secrets in other JSON that is written down, such as the data of a row of the ledger, as Seal does in
// the plan. [UnsealData] puts them back, with the secrets that Seal returned.
func (p *Plan) SealData(data []byte) ([]byte, error) {
	return mapStrings(data, sealer(p.sealed()).Replace)
}

func sealer(secrets []string) *strings.Replacer {
	replace := make([]string, 0, 2*len(secrets))
	for i, s := range secrets {
		replace = append(replace, s, marker(i))
	}
	return strings.NewReplacer(replace...)
}

// UnsealData makes the data again that SealData was given: it puts secrets in the place of their markers.
func UnsealData(data []byte, secrets []string) ([]byte, error) {
	var missing error
	open, err := mapStrings(data, func(s string) string {
		return markers.ReplaceAllStringFunc(s, func(m string) string {
			i, err := strconv.Atoi(markers.FindStringSubmatch(m)[1])
			if err != nil || i >= len(secrets) {
				missing = fmt.Errorf("the plan names secret %s, and only %d are kept", m, len(secrets))
				return m
			}
			return secrets[i]
		})
	})
	if err != nil {
		return nil, err
	}
	return open, missing
}

// marker stands for secret i. It begins with a character that no template can write into a string by accident.
func marker(i int) string { return fmt.Sprintf("\ue000secret:%d\ue001", i) }

var markers = regexp.MustCompile("\ue000secret:([0-9]+)\ue001")

// sealed are the values that are taken out of what is written down of a plan.
func (p *Plan) sealed() []string { return sealable(slices.Concat(p.Secrets, p.Private)) }

// sealable drops what is empty and puts longer secrets first, so that one that contains another is replaced whole.
func sealable(secrets []string) []string {
	seen := map[string]bool{"": true}
	var out []string
	for _, s := range secrets {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return len(out[i]) > len(out[j]) })
	return out
}

// ordinaryWord is the length up to which a password may be an ordinary word, such as "vagrant", in bytes. A log must be
// able to say it, and nobody needs a key to guess it.
const ordinaryWord = 11

// Hidden lists the values of a plan that nobody may see, the longest first: its secrets, and what is private and no
// ordinary word.
func (p *Plan) Hidden() []string {
	all := slices.Clone(p.Secrets)
	for _, s := range p.Private {
		if len(s) > ordinaryWord {
			all = append(all, s)
		}
	}
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" })
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	return slices.Compact(all)
}

// mapStrings applies fn to every string value of a JSON document; keys and numbers stay as they are.
func mapStrings(data []byte, fn func(string) string) ([]byte, error) {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(mapValue(v, fn))
}

func mapValue(v any, fn func(string) string) any {
	switch v := v.(type) {
	case string:
		return fn(v)
	case []any:
		for i := range v {
			v[i] = mapValue(v[i], fn)
		}
	case map[string]any:
		for k := range v {
			v[k] = mapValue(v[k], fn)
		}
	}
	return v
}
