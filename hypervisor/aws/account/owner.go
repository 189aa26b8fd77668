package account

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// The keys of the tags that say whose an object is.
const (
	TagInstall = "boxkiln:install"
	TagBuild   = "boxkiln:build"
	TagAttempt = "boxkiln:attempt"
	TagName    = "Name"
)

// Tags are the tags of an object: those of the template, and over them those that say whose it is. name is its Name unless the
// template says another; "" for none. They are in a fixed order.
func Tags(t hypervisor.Tag, name string, own map[string]string) []types.Tag {
	all := map[string]string{}
	if name != "" {
		all[TagName] = name
	}
	maps.Copy(all, own)
	all[TagInstall], all[TagBuild], all[TagAttempt] = t.Install, t.Build, strconv.Itoa(t.Attempt)
	tags := make([]types.Tag, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		tags = append(tags, types.Tag{Key: aws.String(key), Value: aws.String(all[key])})
	}
	return tags
}

// Specification has a call tag what it makes.
func Specification(kind types.ResourceType, tags []types.Tag) types.TagSpecification {
	return types.TagSpecification{ResourceType: kind, Tags: tags}
}

// Filters find the objects that an attempt of a build made; without a build, those of the whole installation.
func Filters(t hypervisor.Tag) []types.Filter {
	filters := []types.Filter{Filter("tag:"+TagInstall, t.Install)}
	if t.Build != "" {
		filters = append(filters, Filter("tag:"+TagBuild, t.Build), Filter("tag:"+TagAttempt, strconv.Itoa(t.Attempt)))
	}
	return filters
}

// Filter is one filter of a Describe call.
func Filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// OwnerOf reads whose an object is. ok tells whether it carries the tags.
func OwnerOf(tags []types.Tag) (t hypervisor.Tag, ok bool) {
	for _, tag := range tags {
		switch value := aws.ToString(tag.Value); aws.ToString(tag.Key) {
		case TagInstall:
			t.Install, ok = value, true
		case TagBuild:
			t.Build = value
		case TagAttempt:
			t.Attempt, _ = strconv.Atoi(value) // 0 for what we did not write
		}
	}
	return t, ok
}

// Token is the ClientToken of a call of an attempt: the same call with the same purpose makes the same thing, once. It has 64
// characters, the most that EC2 takes.
func Token(t hypervisor.Tag, purpose string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d %q", t.Install, t.Build, t.Attempt, purpose))
	return hex.EncodeToString(sum[:])
}
