package cloud

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// tags are those of an object.
type tags map[string]string

// tagItem is a tag in an answer.
type tagItem struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func (t tags) items() []tagItem {
	var all []tagItem
	for _, k := range slices.Sorted(maps.Keys(t)) {
		all = append(all, tagItem{k, t[k]})
	}
	return all
}

// attributes are what filters can ask about an object: the filter's name and the values of the object.
type attributes map[string][]string

// with adds the filters about tags.
func (a attributes) with(t tags) attributes {
	for k, v := range t {
		a["tag:"+k] = []string{v}
		a["tag-key"] = append(a["tag-key"], k)
	}
	return a
}

// selects tells whether an object passes all filters of a call. A filter that the simulator does not know is an error, or it
// would select what it should not.
func (p params) selects(a attributes) (bool, error) {
	for _, f := range p.each("Filter") {
		name := f.text("Name")
		have, known := a[name]
		if !known && name != "tag-key" && !strings.HasPrefix(name, "tag:") {
			return false, problem("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if !slices.ContainsFunc(f.list("Value"), func(want string) bool {
			return slices.ContainsFunc(have, func(v string) bool { return v == want || matches(want, v) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

// matches follows the wildcards of filters: * and ?.
func matches(pattern, value string) bool {
	// path.Match stops at slashes and knows brackets; filters do neither.
	safe := strings.NewReplacer("/", "\x01", "[", "\x02", `\`, "\x03")
	found, err := path.Match(safe.Replace(pattern), safe.Replace(value))
	return err == nil && found
}

// describe collects the objects of a kind that a call selects, in the order of their birth. ids are those that it names; one that
// does not exist, or cannot be seen yet, is the error missing; without ids, what cannot be seen yet is left out.
func describe[T any](all map[string]T, o func(T) *object, ids []string, p params, attrs func(T) attributes, missing func(id string) error) ([]T, error) {
	var found []T
	for _, id := range ids {
		if v, ok := all[id]; !ok || !o(v).asked() {
			return nil, missing(id)
		}
	}
	for _, v := range slices.SortedFunc(maps.Values(all), func(a, b T) int { return o(a).born.Compare(o(b).born) }) {
		if len(ids) > 0 && !slices.Contains(ids, o(v).id) {
			continue
		}
		a := attrs(v)
		ok, err := p.selects(a.with(o(v).tags))
		if err != nil {
			return nil, err
		}
		if ok && (len(ids) > 0 || o(v).asked()) {
			found = append(found, v)
		}
	}
	return found, nil
}
