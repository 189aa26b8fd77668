package cloud

import (
	"cmp"
	"slices"
	"time"
)

func describeImageAttribute(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	type value struct {
		Value string `xml:"value"`
	}
	var out struct {
		ID          string      `xml:"imageId"`
		Users       permissions `xml:"launchPermission>item"`
		Description *value      `xml:"description"`
		BootMode    *value      `xml:"bootMode"`
		IMDS        *value      `xml:"imdsSupport"`
		Guarded     *value      `xml:"deregistrationProtection"`
	}
	out.ID = im.id
	switch a := c.text("Attribute"); a {
	case "launchPermission":
		out.Users = im.users
	case "description":
		out.Description = &value{im.description}
	case "bootMode":
		out.BootMode = &value{im.bootMode}
	case "imdsSupport":
		out.IMDS = &value{im.imds}
	case "deregistrationProtection":
		out.Guarded = &value{cmp.Or(im.guarded, "disabled")}
	default:
		return nil, problem("InvalidParameterValue", "the attribute %s of an image is not simulated", a)
	}
	return out, nil
}

func modifyImageAttribute(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	before := slices.Clone(im.users)
	im.users.change(c.params, "LaunchPermission", "UserGroup")
	for _, d := range im.disks {
		if err := shareable(d.kms); err != nil && len(im.users) > len(before) {
			im.users = before
			return nil, err
		}
	}
	im.description = c.or("Description.Value", im.description)
	im.imds = c.or("ImdsSupport.Value", im.imds)
	if c.text("Attribute") == "description" {
		im.description = c.text("Value")
	}
	return ok()
}

func enableDeprecation(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	text, err := c.must("DeprecateAt")
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !at.After(time.Now()) {
		return nil, problem("InvalidParameterValue", "The deprecation date %s is no time in the future", text)
	}
	im.deprecated = stamp(at)
	return ok()
}

func disableDeprecation(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	im.deprecated = ""
	return ok()
}

type protection struct {
	Return string `xml:"return"`
}

func protectImage(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	im.guarded = "enabled-without-cooldown"
	if c.yes("WithCooldown") {
		im.guarded = "enabled-with-cooldown"
	}
	return protection{im.guarded}, nil
}

// unprotectImage takes protection away, at once even from an image that was protected with a cooldown of a day.
func unprotectImage(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	im.guarded = ""
	return protection{"disabled"}, nil
}

func modifySnapshot(c *call) (any, error) {
	s, found := c.region.snapshots[c.text("SnapshotId")]
	if !found {
		return nil, missingSnapshot(c.text("SnapshotId"))
	}
	if err := shareable(s.key); err != nil {
		return nil, err
	}
	s.users.change(c.params, "CreateVolumePermission", "UserGroup")
	return ok()
}

func describeSnapshotAttribute(c *call) (any, error) {
	s, found := c.region.snapshots[c.text("SnapshotId")]
	if !found || !s.asked() {
		return nil, missingSnapshot(c.text("SnapshotId"))
	}
	if a := c.text("Attribute"); a != "createVolumePermission" {
		return nil, problem("InvalidParameterValue", "the attribute %s of a snapshot is not simulated", a)
	}
	return struct {
		ID    string      `xml:"snapshotId"`
		Users permissions `xml:"createVolumePermission>item"`
	}{s.id, s.users}, nil
}

// permission lets somebody use an image or a snapshot.
type permission struct {
	User         string `xml:"userId,omitempty"`
	Group        string `xml:"group,omitempty"`
	Organization string `xml:"organizationArn,omitempty"`
	Unit         string `xml:"organizationalUnitArn,omitempty"`
}

// permissions are those of an image or a snapshot.
type permissions []permission

// change adds and removes what a call names: below a parameter, or in the older form of lists.
func (all *permissions) change(p params, below, groups string) {
	read := func(p params) permission {
		return permission{p.text("UserId"), p.text("Group"), p.text("OrganizationArn"), p.text("OrganizationalUnitArn")}
	}
	for _, one := range p.sub(below).each("Add") {
		all.add(read(one))
	}
	for _, one := range p.sub(below).each("Remove") {
		all.remove(read(one))
	}
	turn := map[string]func(permission){"add": all.add, "remove": all.remove}[p.text("OperationType")]
	if turn == nil {
		return
	}
	for _, v := range p.list("UserId") {
		turn(permission{User: v})
	}
	for _, v := range p.list(groups) {
		turn(permission{Group: v})
	}
	for _, v := range p.list("OrganizationArn") {
		turn(permission{Organization: v})
	}
	for _, v := range p.list("OrganizationalUnitArn") {
		turn(permission{Unit: v})
	}
}

func (all *permissions) add(p permission) {
	if !slices.Contains(*all, p) {
		*all = append(*all, p)
	}
}

func (all *permissions) remove(p permission) {
	*all = slices.DeleteFunc(*all, func(q permission) bool { return p == q })
}
