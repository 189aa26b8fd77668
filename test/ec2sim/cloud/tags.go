package cloud

import (
	"maps"
	"slices"
	"strings"
)

// maxTags is how many an object can have.
const maxTags = 50

// set gives an object a tag.
func (t tags) set(p params) error {
	key, value := p.text("Key"), p.text("Value")
	switch {
	case key == "" || len(key) > 128:
		return problem("InvalidParameterValue", "Tag key %q is not between 1 and 128 characters long", key)
	case len(value) > 256:
		return problem("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return problem("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
	}
	if t[key] = value; len(t) > maxTags {
		return problem("TagLimitExceeded", "More than %d tags", maxTags)
	}
	return nil
}

// tagged returns the tags that a call gives to new objects, by their types, which must be among those that the action makes.
func (p params) tagged(kinds ...string) (map[string]tags, error) {
	all := map[string]tags{}
	for _, kind := range kinds {
		all[kind] = tags{}
	}
	for _, spec := range p.each("TagSpecification") {
		t, taggable := all[spec.text("ResourceType")]
		if !taggable {
			return nil, problem("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", spec.text("ResourceType"))
		}
		for _, one := range spec.each("Tag") {
			if err := t.set(one); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// any object by its id, and the word for its kind.
func (r *region) any(id string) (*object, string) {
	for _, v := range r.taggable() {
		if v.id == id {
			return v.object, v.kind
		}
	}
	return nil, ""
}

type tagHolder struct {
	*object
	kind string
}

// taggable is all that can have tags, in the order of ids.
func (r *region) taggable() []tagHolder {
	var all []tagHolder
	for _, v := range r.images {
		all = append(all, tagHolder{&v.object, "image"})
	}
	for _, v := range r.instances {
		all = append(all, tagHolder{&v.object, "instance"})
	}
	for _, v := range r.volumes {
		all = append(all, tagHolder{&v.object, "volume"})
	}
	for _, v := range r.snapshots {
		all = append(all, tagHolder{&v.object, "snapshot"})
	}
	for _, v := range r.groups {
		all = append(all, tagHolder{&v.object, "security-group"})
	}
	for _, v := range r.keys {
		all = append(all, tagHolder{&v.object, "key-pair"})
	}
	for _, v := range r.tasks {
		all = append(all, tagHolder{&v.object, "import-" + v.kind + "-task"})
	}
	for _, v := range r.spots {
		all = append(all, tagHolder{&v.object, "spot-instances-request"})
	}
	for _, v := range r.vpcs {
		all = append(all, tagHolder{&v.object, "vpc"})
	}
	for _, v := range r.subnets {
		all = append(all, tagHolder{&v.object, "subnet"})
	}
	slices.SortFunc(all, func(a, b tagHolder) int { return strings.Compare(a.id, b.id) })
	return all
}

// missing is the error for an object of any kind that is not there.
func missing(id string) error {
	switch prefix, _, _ := strings.Cut(id, "-"); prefix {
	case "ami":
		return missingImage(id)
	case "i":
		return missingInstance(id)
	case "vol":
		return missingVolume(id)
	case "snap":
		return missingSnapshot(id)
	case "sg":
		return missingGroup(id)
	case "key":
		return missingKey(id)
	case "sir":
		return missingSpot(id)
	case "vpc":
		return missingVPC(id)
	case "subnet":
		return missingSubnet(id)
	}
	return problem("InvalidID", "The ID '%s' is not valid", id)
}

func createTags(c *call) (any, error) {
	for _, id := range c.list("ResourceId") {
		o, _ := c.region.any(id)
		if o == nil || !o.asked() {
			return nil, missing(id)
		}
		t := maps.Clone(o.tags)
		for _, one := range c.each("Tag") {
			if err := t.set(one); err != nil {
				return nil, err
			}
		}
		o.tags = t
	}
	return ok()
}

// deleteTags removes tags by their keys, or only those that have a value if one is given; all if none is named.
func deleteTags(c *call) (any, error) {
	for _, id := range c.list("ResourceId") {
		o, _ := c.region.any(id)
		if o == nil {
			continue
		}
		named := c.each("Tag")
		if len(named) == 0 {
			clear(o.tags)
		}
		for _, t := range named {
			if !t.Has("Value") || t.text("Value") == o.tags[t.text("Key")] {
				delete(o.tags, t.text("Key"))
			}
		}
	}
	return ok()
}

func describeTags(c *call) (any, error) {
	type item struct {
		ID    string `xml:"resourceId"`
		Kind  string `xml:"resourceType"`
		Key   string `xml:"key"`
		Value string `xml:"value"`
	}
	var out struct {
		Tags []item `xml:"tagSet>item"`
	}
	for _, o := range c.region.taggable() {
		for _, t := range o.tags.items() {
			pass, err := c.selects(attributes{"resource-id": {o.id}, "resource-type": {o.kind}, "key": {t.Key}, "value": {t.Value}}.with(tags{t.Key: t.Value}))
			if err != nil {
				return nil, err
			}
			if pass {
				out.Tags = append(out.Tags, item{o.id, o.kind, t.Key, t.Value})
			}
		}
	}
	return out, nil
}
