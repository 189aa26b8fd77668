package cloud

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// ec2Actions are what EC2 answers to.
var ec2Actions = map[string]action{
	"DescribeRegions":               describeRegions,
	"DescribeAvailabilityZones":     describeZones,
	"DescribeVpcs":                  describeVPCs,
	"DescribeSubnets":               describeSubnets,
	"DescribeInstanceTypeOfferings": describeOfferings,

	"CreateSecurityGroup":           createGroup,
	"AuthorizeSecurityGroupIngress": authorizeIngress,
	"DescribeSecurityGroups":        describeGroups,
	"DeleteSecurityGroup":           deleteGroup,

	"CreateKeyPair":    createKey,
	"ImportKeyPair":    importKey,
	"DescribeKeyPairs": describeKeys,
	"DeleteKeyPair":    deleteKey,

	"RunInstances":            runInstances,
	"DescribeInstances":       describeInstances,
	"DescribeInstanceStatus":  describeStatus,
	"StopInstances":           stopInstances,
	"StartInstances":          startInstances,
	"TerminateInstances":      terminateInstances,
	"ModifyInstanceAttribute": modifyInstance,

	"DescribeVolumes":         describeVolumes,
	"DeleteVolume":            deleteVolume,
	"CreateSnapshot":          createSnapshot,
	"DescribeSnapshots":       describeSnapshots,
	"DeleteSnapshot":          deleteSnapshot,
	"CopySnapshot":            copySnapshot,
	"ModifySnapshotAttribute": modifySnapshot,

	"CreateImage":                          createImage,
	"RegisterImage":                        registerImage,
	"CopyImage":                            copyImage,
	"DescribeImages":                       describeImages,
	"DeregisterImage":                      deregisterImage,
	"DescribeImageAttribute":               describeImageAttribute,
	"ModifyImageAttribute":                 modifyImageAttribute,
	"EnableImageDeprecation":               enableDeprecation,
	"EnableImageDeregistrationProtection":  protectImage(true),
	"DisableImageDeregistrationProtection": protectImage(false),

	"ImportImage":                 importImage,
	"ImportSnapshot":              importSnapshot,
	"DescribeImportImageTasks":    describeImageTasks,
	"DescribeImportSnapshotTasks": describeSnapshotTasks,
	"CancelImportTask":            cancelTask,

	"CreateTags":   createTags,
	"DeleteTags":   deleteTags,
	"DescribeTags": describeTags,
}

// stsActions are what STS answers to.
var stsActions = map[string]action{
	"GetCallerIdentity": func(c *call) (any, error) {
		return struct {
			ARN     string `xml:"Arn"`
			User    string `xml:"UserId"`
			Account string `xml:"Account"`
		}{"arn:aws:iam::" + Account + ":user/builder", "AIDA" + c.scope.key, Account}, nil
	},
	"AssumeRole": func(c *call) (any, error) {
		role, err := c.must("RoleArn")
		if err != nil {
			return nil, err
		}
		type credentials struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
		return struct {
			Credentials credentials `xml:"Credentials"`
			ARN         string      `xml:"AssumedRoleUser>Arn"`
			ID          string      `xml:"AssumedRoleUser>AssumedRoleId"`
		}{credentials{"ASIAASSUMED", "secret", "session", stamp(time.Now().Add(time.Hour))},
			strings.Replace(role, ":role/", ":assumed-role/", 1) + "/" + c.text("RoleSessionName"), "AROA:" + c.text("RoleSessionName")}, nil
	},
}

// any object by its id, and the word for its kind.
func (r *region) any(id string) (*object, string) {
	switch prefix, _, _ := strings.Cut(id, "-"); prefix {
	case "ami":
		if v := r.images[id]; v != nil {
			return &v.object, "image"
		}
	case "i":
		if v := r.instances[id]; v != nil {
			return &v.object, "instance"
		}
	case "vol":
		if v := r.volumes[id]; v != nil {
			return &v.object, "volume"
		}
	case "snap":
		if v := r.snapshots[id]; v != nil {
			return &v.object, "snapshot"
		}
	case "sg":
		if v := r.groups[id]; v != nil {
			return &v.object, "security-group"
		}
	case "key":
		for _, k := range r.keys {
			if k.id == id {
				return &k.object, "key-pair"
			}
		}
	}
	return nil, ""
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
	}
	return problem("InvalidID", "The ID '%s' is not valid", id)
}

func createTags(c *call) (any, error) {
	for _, id := range c.list("ResourceId") {
		o, _ := c.region.any(id)
		if o == nil || !o.asked() {
			return nil, missing(id)
		}
		for _, t := range c.each("Tag") {
			o.tags[t.text("Key")] = t.text("Value")
		}
	}
	return ok()
}

func deleteTags(c *call) (any, error) {
	for _, id := range c.list("ResourceId") {
		if o, _ := c.region.any(id); o != nil {
			for _, t := range c.each("Tag") {
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
	for _, id := range c.region.ids() {
		o, kind := c.region.any(id)
		for _, t := range o.tags.items() {
			a := attributes{"resource-id": {id}, "resource-type": {kind}, "key": {t.Key}, "value": {t.Value}}.with(o.tags)
			pass, err := c.selects(a)
			if err != nil {
				return nil, err
			}
			if pass {
				out.Tags = append(out.Tags, item{id, kind, t.Key, t.Value})
			}
		}
	}
	return out, nil
}

// ids of all that can have tags.
func (r *region) ids() []string {
	ids := slices.Collect(maps.Keys(r.images))
	ids = slices.AppendSeq(ids, maps.Keys(r.instances))
	ids = slices.AppendSeq(ids, maps.Keys(r.volumes))
	ids = slices.AppendSeq(ids, maps.Keys(r.snapshots))
	ids = slices.AppendSeq(ids, maps.Keys(r.groups))
	for _, k := range r.keys {
		ids = append(ids, k.id)
	}
	slices.Sort(ids)
	return ids
}
