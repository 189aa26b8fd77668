package ami_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

// TestFromInstance makes an image with everything that can be wanted of one, in three regions.
func TestFromInstance(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := ami.Wanted{
		Name: "golden", Description: "what it is", Tags: map[string]string{"Team": "ops", "Both": "image"}, SnapshotTags: map[string]string{"Both": "snapshot"},
		Regions: []string{"eu-west-1", "us-west-2", "eu-west-1", home}, IMDSSupport: "v2.0", DeprecateAt: time.Now().Add(24 * time.Hour),
		Protection: ami.Protection{Enabled: true},
		Sharing:    ami.Sharing{Users: []string{"111122223333"}, Groups: []string{"all"}, SnapshotUsers: []string{"444455556666"}},
	}
	made, err := r.fromInstance(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != 3 || made[0].Region != home || made[1].Region != "eu-west-1" || made[2].Region != "us-west-2" {
		t.Fatalf("made %+v", made)
	}
	for _, im := range made {
		got := r.image(im)
		if got.State != types.ImageStateAvailable || *got.Name != "golden" || im.Name != "golden" || aws.ToString(got.Description) != "what it is" ||
			got.ImdsSupport != types.ImdsSupportValuesV20 || aws.ToString(got.DeprecationTime) == "" || !strings.HasPrefix(aws.ToString(got.DeregistrationProtection), "enabled") || !*got.Public {
			t.Errorf("%s: %+v", im.Region, got)
		}
		ours := map[string]string{account.TagInstall: "i", account.TagBuild: "b", account.TagAttempt: "1", "Name": "golden", "Team": "ops", "Both": "image"}
		if tags := tagged(got.Tags); !maps.Equal(tags, ours) {
			t.Errorf("%s: the image has the tags %v", im.Region, tags)
		}
		ours["Both"] = "snapshot"
		for _, s := range r.snapshots(im) {
			if tags := tagged(s.Tags); !maps.Equal(tags, ours) {
				t.Errorf("%s: a snapshot has the tags %v", im.Region, tags)
			}
			if users := r.snapshotUsers(im.Region, *s.SnapshotId); !slices.Equal(users, []string{"444455556666"}) {
				t.Errorf("%s: the snapshot is shared with %q", im.Region, users)
			}
		}
		if users := r.users(im); !slices.Equal(users, []string{"111122223333", "all"}) {
			t.Errorf("%s: shared with %q", im.Region, users)
		}
		if text := "AMI " + im.ID + " is available"; !r.told(im.Region, text) {
			t.Errorf("%s: nobody heard %q: %v", im.Region, text, r.events)
		}
	}
	r.left(map[string]int{"images": 3, "snapshots": 3})
}

// users are those with whom an image is shared, in a fixed order.
func (r *rig) users(im ami.Image) []string {
	r.Helper()
	out, err := r.client(im.Region).DescribeImageAttribute(r.Context(), &ec2.DescribeImageAttributeInput{ImageId: &im.ID, Attribute: types.ImageAttributeNameLaunchPermission})
	if err != nil {
		r.Fatal(err)
	}
	var users []string
	for _, p := range out.LaunchPermissions {
		users = append(users, cmp.Or(aws.ToString(p.UserId), string(p.Group), aws.ToString(p.OrganizationArn), aws.ToString(p.OrganizationalUnitArn)))
	}
	slices.Sort(users)
	return users
}

// snapshotUsers are those with whom a snapshot is shared. Nothing of ours asks for them, so this is another client.
func (r *rig) snapshotUsers(region, id string) []string {
	r.Helper()
	c := ec2.New(ec2.Options{Region: region, BaseEndpoint: &r.server.URL, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
	out, err := c.DescribeSnapshotAttribute(r.Context(), &ec2.DescribeSnapshotAttributeInput{SnapshotId: &id, Attribute: types.SnapshotAttributeNameCreateVolumePermission})
	if err != nil {
		r.Fatal(err)
	}
	var users []string
	for _, p := range out.CreateVolumePermissions {
		users = append(users, cmp.Or(aws.ToString(p.UserId), string(p.Group)))
	}
	slices.Sort(users)
	return users
}

// TestEncrypted makes encrypted images by way of an intermediate one, which nobody finds afterwards.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := ami.Wanted{
		Name: "secret", Regions: []string{"eu-west-1", "us-west-2"}, Sharing: ami.Sharing{OrgARNs: []string{"arn:aws:organizations::1:organization/o-1"}},
		Encryption: ami.Encryption{Boot: aws.Bool(true), Key: "alias/home", RegionKeys: map[string]string{"eu-west-1": "alias/ireland", "us-west-2": "alias/oregon"}},
	}
	made, err := r.fromInstance(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{home: "alias/home", "eu-west-1": "alias/ireland", "us-west-2": "alias/oregon"}
	for _, im := range made {
		for _, s := range r.snapshots(im) {
			if !aws.ToBool(s.Encrypted) || !strings.HasSuffix(aws.ToString(s.KmsKeyId), keys[im.Region]) {
				t.Errorf("%s: encrypted %t with %q, want %q", im.Region, aws.ToBool(s.Encrypted), aws.ToString(s.KmsKeyId), keys[im.Region])
			}
		}
		if tags := tagged(r.image(im).Tags); tags["Name"] != "secret" || tags[account.TagBuild] != "b" {
			t.Errorf("%s: tags %v", im.Region, tags)
		}
		if users := r.users(im); !slices.Equal(users, w.Sharing.OrgARNs) {
			t.Errorf("%s: shared with %q", im.Region, users)
		}
	}
	r.left(map[string]int{"images": 3, "snapshots": 3})
}

// TestSkipHome makes images in other regions only.
func TestSkipHome(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made, err := r.fromInstance(t.Context(), ami.Wanted{Name: "elsewhere", SkipHome: true, Regions: []string{home, "eu-west-1"}})
	if err != nil || len(made) != 1 || made[0].Region != "eu-west-1" || made[0].Name != "elsewhere" {
		t.Fatalf("made %+v, %v", made, err)
	}
	r.left(map[string]int{"images": 1, "snapshots": 1})
}

// TestFromSnapshots registers an image of a snapshot of ours and one of somebody else's, and copies it.
func TestFromSnapshots(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ours, other := r.ours(), r.snapshot([]types.Tag{{Key: aws.String("whose"), Value: aws.String("the user's")}})
	made, err := r.maker.FromSnapshots(t.Context(), hardware(), ami.Wanted{
		Name: "written", Tags: map[string]string{"Team": "ops"}, IMDSSupport: "v2.0", Regions: []string{"eu-west-1"},
		Devices: []types.BlockDeviceMapping{device("/dev/xvda", ours), device("/dev/xvdb", other)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, im := range made {
		got := r.image(im)
		if got.Architecture != types.ArchitectureValuesX8664 || got.BootMode != types.BootModeValuesUefi || got.TpmSupport != types.TpmSupportValuesV20 || got.ImdsSupport != types.ImdsSupportValuesV20 ||
			!aws.ToBool(got.EnaSupport) || got.VirtualizationType != types.VirtualizationTypeHvm || *got.RootDeviceName != "/dev/xvda" || len(got.BlockDeviceMappings) != 2 {
			t.Errorf("%s: %+v", im.Region, got)
		}
	}
	if !slices.Equal(made[0].Snapshots, []string{ours}) || len(made[1].Snapshots) != 2 {
		t.Errorf("the images' own snapshots are %v and %v", made[0].Snapshots, made[1].Snapshots)
	}
	if tags := tagged(r.snapshots(made[0])[0].Tags); tags["Team"] != "ops" || tags["Name"] != "written" {
		t.Errorf("our snapshot has the tags %v", tags)
	}
	if tags := tagged(r.snapshots(ami.Image{Region: home, Snapshots: []string{other}})[0].Tags); len(tags) != 1 {
		t.Errorf("the other snapshot has the tags %v", tags)
	}
	// What was not made for the image stays when that goes.
	for _, im := range made {
		if err := r.maker.Remove(t.Context(), im); err != nil {
			t.Error(err)
		}
	}
	r.left(map[string]int{"snapshots": 1})
}

// TestReplace takes the place of an image of the same name, and of another that is protected in no case.
func TestReplace(t *testing.T) {
	t.Parallel()
	for _, snapshots := range []bool{false, true} {
		r := newRig(t)
		w := ami.Wanted{Name: "golden", Regions: []string{"eu-west-1"}}
		old, err := r.fromInstance(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.maker.CheckName(t.Context(), w); err == nil || !strings.Contains(err.Error(), "force_deregister") || !strings.Contains(err.Error(), "golden") {
			t.Errorf("CheckName = %v", err)
		}
		r.maker.Owner.Build = "b2"
		if _, err := r.fromInstance(t.Context(), w); account.Code(err) != "InvalidAMIName.Duplicate" {
			t.Errorf("the second image of a name: %v", err)
		}
		r.left(map[string]int{"images": 2, "snapshots": 2})
		w.Replace = ami.Replace{Image: true, Snapshots: snapshots}
		if err := r.maker.CheckName(t.Context(), w); err != nil {
			t.Error(err)
		}
		made, err := r.fromInstance(t.Context(), w)
		if err != nil || made[0].ID == old[0].ID || !r.told("eu-west-1", "Deregistered AMI "+old[1].ID) {
			t.Errorf("made %+v in place of %+v: %v", made, old, err)
		}
		stay := map[bool]int{false: 2, true: 0}[snapshots]
		r.left(map[string]int{"images": 2, "snapshots": 2 + stay})
	}
}

// TestReplaceProtected finds a protected image before the build starts.
func TestReplaceProtected(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := ami.Wanted{Name: "golden", Protection: ami.Protection{Enabled: true, Cooldown: true}}
	old, err := r.fromInstance(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	r.maker.Owner.Build, w.Replace.Image = "b2", true
	if err := r.maker.CheckName(t.Context(), w); err == nil || !strings.Contains(err.Error(), old[0].ID) || !strings.Contains(err.Error(), "protected") {
		t.Errorf("CheckName = %v", err)
	}
	if _, err := r.fromInstance(t.Context(), w); err == nil || !strings.Contains(err.Error(), "protected") {
		t.Errorf("FromInstance = %v", err)
	}
	r.left(map[string]int{"images": 1, "snapshots": 1})
}
