package hypervisor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
)

// RemoteID is a thing that a cloud keeps, such as an AMI in a region.
type RemoteID struct {
	Region string `json:"region,omitempty"`
	ID     string `json:"id"`
}

// String is region and id as Packer joins them in the id of an artifact, "us-east-1:ami-0123": the id alone without a region.
func (r RemoteID) String() string {
	if r.Region == "" {
		return r.ID
	}
	return r.Region + ":" + r.ID
}

// amiPrefix begins the ids of images of EC2, and of nothing else that a cloud keeps.
const amiPrefix = "ami-"

// IsAMI tells whether it is an image of EC2.
func (r RemoteID) IsAMI() bool { return strings.HasPrefix(r.ID, amiPrefix) }

// URI names the thing for the world: an AMI by Amazon's own name of resources, anything else as it is written.
func (r RemoteID) URI() string {
	if r.IsAMI() {
		return "arn:aws:ec2:" + r.Region + "::image/" + r.ID
	}
	return r.String()
}

// AMIs tells whether there are ids and all of them are images of EC2.
func AMIs(ids []RemoteID) bool {
	return len(ids) > 0 && !slices.ContainsFunc(ids, func(r RemoteID) bool { return !r.IsAMI() })
}

// JoinIDs writes ids as Packer's artifacts do: "eu-west-1:ami-456,us-east-1:ami-123", in the order of their regions.
func JoinIDs(ids []RemoteID) string { return joinIDs(ids, RemoteID.String, ",") }

// DescribeIDs tells of ids what the summary at the end of a build says, in the words of Packer's artifacts.
func DescribeIDs(ids []RemoteID) string {
	what := "Images were created:"
	if AMIs(ids) {
		what = "AMIs were created:"
	}
	return what + "\n" + joinIDs(ids, func(r RemoteID) string {
		if r.Region == "" {
			return r.ID
		}
		return r.Region + ": " + r.ID
	}, "\n")
}

func joinIDs(ids []RemoteID, text func(RemoteID) string, separator string) string {
	var parts []string
	for _, id := range SortIDs(ids) {
		parts = append(parts, text(id))
	}
	return strings.Join(parts, separator)
}

// SortIDs returns ids in the order of their regions, each once.
func SortIDs(ids []RemoteID) []RemoteID {
	sorted := slices.SortedFunc(slices.Values(ids), func(a, b RemoteID) int {
		return cmp.Or(strings.Compare(a.Region, b.Region), strings.Compare(a.ID, b.ID))
	})
	return slices.Compact(sorted)
}

// ErrImageNotFound says that a cloud does not have an image, or does not show it to who asks.
var ErrImageNotFound = errors.New("there is no such image")

// Keeper is the ability of a Driver to tell whether what it made in a cloud is still there. Without it the ids of a build are
// never taken instead of running it again: whoever removes an image tells nobody.
type Keeper interface {
	// Remains returns nil if all of ids are there, ready to be used by whom spec's options log in as. The error wraps
	// ErrImageNotFound and names what is gone; any other says why nobody could look.
	Remains(ctx context.Context, spec Spec, ids []RemoteID) error
}
