package libvirt

import "strings"

// options is a value such as "user,id=n0,hostfwd=tcp::0-:22" of a QEMU switch, in order.
type options []option

type option struct{ key, value string }

// parseOptions splits at commas; QEMU writes a comma inside a value as two. A part without '=' has only a key.
func parseOptions(s string) options {
	const comma = "\x00"
	var out options
	for part := range strings.SplitSeq(strings.ReplaceAll(s, ",,", comma), ",") {
		key, value, _ := strings.Cut(part, "=")
		out = append(out, option{key, strings.ReplaceAll(value, comma, ",")})
	}
	return out
}

func (o options) has(key string) bool {
	for _, x := range o {
		if x.key == key {
			return true
		}
	}
	return false
}

// get returns the last value of a key, as QEMU does.
func (o options) get(keys ...string) string {
	value := ""
	for _, x := range o {
		for _, key := range keys {
			if x.key == key {
				value = x.value
			}
		}
	}
	return value
}

// implied gives the first part the key under which QEMU takes it when it is written without one.
func (o options) implied(key string) options {
	if len(o) > 0 && o[0].value == "" {
		o[0] = option{key, o[0].key}
	}
	return o
}

// without returns what is left when keys are taken out.
func (o options) without(keys ...string) options {
	var out options
next:
	for _, x := range o {
		for _, key := range keys {
			if x.key == key {
				continue next
			}
		}
		out = append(out, x)
	}
	return out
}

// String writes the value again.
func (o options) String() string {
	parts := make([]string, len(o))
	for i, x := range o {
		parts[i] = x.key
		if x.value != "" {
			parts[i] += "=" + strings.ReplaceAll(x.value, ",", ",,")
		}
	}
	return strings.Join(parts, ",")
}
