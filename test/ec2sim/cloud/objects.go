package cloud

import (
	"cmp"
	"maps"
	"slices"
)

// objectsPath is where other processes ask for [Cloud.Objects], as JSON and without a signature.
const objectsPath = "/_objects"

// Object is something that somebody made and that costs money or is in somebody's way.
type Object struct {
	Kind   string            `json:"kind"` // in the plural: instances, volumes, snapshots, images, key pairs ...
	Region string            `json:"region"`
	ID     string            `json:"id"`
	Name   string            `json:"name,omitempty"`
	State  string            `json:"state,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
}

// Objects lists what was made and not removed, by kind and id. What the cloud had from the beginning is not among it: default
// security groups, networks, images of [Cloud.Publish] with their snapshots, and buckets of [Cloud.AddBucket]. Neither are
// instances that are terminated, and tasks and spot requests that have ended.
func (c *Cloud) Objects() []Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.buckets.objects()
	for _, r := range c.regions {
		add := func(kind string, o *object, name, state string) {
			if !o.given {
				all = append(all, Object{kind, r.name, o.id, name, state, maps.Clone(o.tags)})
			}
		}
		for _, v := range r.instances {
			if v.state != terminated {
				add("instances", &v.object, "", v.state.Name)
			}
		}
		for _, v := range r.volumes {
			add("volumes", &v.object, "", v.status())
		}
		for _, v := range r.snapshots {
			add("snapshots", &v.object, "", v.shown())
		}
		for _, v := range r.images {
			add("images", &v.object, v.name, v.shown())
		}
		for _, v := range r.keys {
			add("key pairs", &v.object, v.name, "")
		}
		for _, v := range r.groups {
			add("security groups", &v.object, v.name, "")
		}
		for _, v := range r.tasks {
			if v.active() {
				add("import tasks", &v.object, "", v.state)
			}
		}
		for _, v := range r.spots {
			if v.live() {
				add("spot requests", &v.object, "", v.state)
			}
		}
	}
	if all == nil {
		all = []Object{} // as JSON wants it
	}
	slices.SortFunc(all, func(a, b Object) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Count tells how many [Cloud.Objects] there are of each kind; a kind of which there are none is not in it.
func (c *Cloud) Count() map[string]int {
	n := map[string]int{}
	for _, o := range c.Objects() {
		n[o.Kind]++
	}
	return n
}
