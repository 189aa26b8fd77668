package aws

import (
	"slices"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// TestHolds finds everything that a build has made and not handed over, nothing of anybody else, and removes what is named.
func TestHolds(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	d := r.driver(install)
	if _, err := r.build(t, d, r.spec(t, nil)); err != nil { // an image that is the user's
		t.Fatal(err)
	}
	before := r.left()
	spec := r.spec(t, map[string]any{"ami_name": "another"})
	spec.Tag.Attempt = 2
	m, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := r.driver(foreign).Holds(t.Context(), nil); err != nil || len(list) != 0 {
		t.Errorf("another installation holds %v (%v)", list, err)
	}
	list, err := d.Holds(t.Context(), []string{region})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, k := range list {
		kinds = append(kinds, k.Kind)
		if k.Tag != spec.Tag || k.Region != region || k.Name != spec.Name {
			t.Errorf("%+v is not of %+v", k, spec.Tag)
		}
	}
	if want := []string{"instance", "volume", "security-group", "key-pair"}; !slices.Equal(kinds, want) {
		t.Errorf("it holds %v, want %v", kinds, want)
	}
	stranger := append(slices.Clone(list), hypervisor.Keepsake{Region: region, Kind: "image", ID: r.image})
	if err := d.Discard(t.Context(), stranger); err != nil {
		t.Error(err)
	}
	if left := r.left(); left["images"] != before["images"] || len(left) != len(before) {
		t.Errorf("left is %v, before it was %v", left, before)
	}
	if list, err := d.Holds(t.Context(), nil); err != nil || len(list) != 0 {
		t.Errorf("afterwards it holds %v (%v)", list, err)
	}
}

// TestRendered fills in what tags say about the source image.
func TestRendered(t *testing.T) {
	t.Parallel()
	set := settings{Image: ImageArgs{Description: "from {{ .SourceAMI }}", Tag: []KeyValue{{"Base", "{{ .SourceAMIName }} of {{ .SourceAMIOwner }}"}}},
		RunTags: RunTagArgs{Tags: map[string]string{"In": "{{ .BuildRegion }}"}}}
	got, err := set.rendered(source{ID: "ami-1", Name: "debian", Owner: "1"}, region)
	if err != nil || got.Image.Description != "from ami-1" || got.Image.Tags["Base"] != "debian of 1" || got.RunTags.Tags["In"] != region {
		t.Errorf("%+v, %v", got.Image, err)
	}
	set.Image.Description = "{{ .Nonsense }}"
	if _, err := set.rendered(source{}, region); err == nil {
		t.Error("a value that there is not was filled in")
	}
}
