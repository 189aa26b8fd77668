package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ebsdirect"
	"github.com/boxkiln/boxkiln/hypervisor/aws/s3import"
)

var _ hypervisor.Importer = (*Driver)(nil)

// importing is one import.
type importing struct {
	hypervisor.ImportRequest
	args    ImportArgs
	wanted  ami.Wanted
	account *account.Account
	maker   *ami.Maker
}

// Import implements hypervisor.Importer.
func (d *Driver) Import(ctx context.Context, r hypervisor.ImportRequest) (hypervisor.Artifact, error) {
	im, err := d.openImport(ctx, r)
	if err != nil {
		return hypervisor.Artifact{}, err
	}
	if im.wanted, err = im.args.wanted(cleanName(r.Title), r.Title); err != nil {
		return hypervisor.Artifact{}, err
	}
	// What would end the import is found before anything is sent.
	if err := errors.Join(im.wanted.Check(im.maker.Home), im.enough()); err != nil {
		return hypervisor.Artifact{}, err
	}
	if err := im.maker.CheckName(ctx, im.wanted); err != nil {
		return hypervisor.Artifact{}, err
	}
	make := im.direct
	if im.args.Bucket != "" {
		make = im.classic
	}
	images, err := make(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return hypervisor.Artifact{}, err
	}
	if err := im.maker.HandOver(ctx, images); err != nil {
		return hypervisor.Artifact{}, err
	}
	a := hypervisor.Artifact{Driver: Name, Arch: r.Arch, UEFI: r.UEFI}
	for _, made := range images {
		a.IDs = append(a.IDs, hypervisor.RemoteID{Region: made.Region, ID: made.ID})
	}
	return a, im.forget()
}

// openImport reads the arguments and finds the account.
func (d *Driver) openImport(ctx context.Context, r hypervisor.ImportRequest) (*importing, error) {
	args, err := ParseImport(r.Args)
	if err != nil {
		return nil, err
	}
	uri, err := formatPlace(accessOf(args.AccessArgs, args.ClientArgs), nil)
	if err != nil {
		return nil, err
	}
	a, err := d.account(ctx, uri)
	if err != nil {
		return nil, err
	}
	im := &importing{ImportRequest: r, args: args, account: a}
	im.maker = &ami.Maker{In: a.In, Home: a.Region(), Owner: r.Tag, Tell: func(e ami.Event) {
		if e.Percent == ami.NoPercent {
			im.tell(e.Text)
		}
	}}
	return im, nil
}

func (im *importing) tell(text string) {
	if im.Log != nil {
		fmt.Fprintln(im.Log, text)
	}
}

// enough sees that there are files.
func (im *importing) enough() error {
	const most = 1 + 25 // /dev/xvda, /dev/sdb to /dev/sdz
	switch n := len(im.Files); {
	case n == 0:
		return errors.New("there is no disk to make an image of")
	case n > most:
		return fmt.Errorf("an image can have %d disks, and there are %d", most, n)
	case n > 1 && im.args.Bucket != "":
		return fmt.Errorf("there are %d disks: an import through a bucket takes one file; set format = \"ova\", or leave s3_bucket_name out", n)
	}
	return nil
}

// direct writes each disk into a snapshot and registers them as one image.
func (im *importing) direct(ctx context.Context) ([]ami.Image, error) {
	hardware, err := im.args.hardware(im.ImportRequest)
	if err != nil {
		return nil, err
	}
	encrypt := im.encryption()
	for i, f := range im.Files {
		s, err := ebsdirect.Write(ctx, im.sender(), f.Path, im.options(i, encrypt))
		if err != nil {
			return nil, err
		}
		im.tell(fmt.Sprintf("Snapshot %s of %d GiB: %d of its blocks hold something, %.1f MiB were sent", s.ID, s.GiB, s.Blocks, float64(s.SentBytes)/(1<<20)))
		im.wanted.Devices = append(im.wanted.Devices, mapping(i, s.ID, int32(s.GiB)))
	}
	return im.maker.FromSnapshots(ctx, hardware, im.wanted)
}

// sender calls EBS direct once for each call, because the sender tries again itself.
func (im *importing) sender() *account.Region {
	r := im.account.In("")
	r.EBS = im.account.Once(ebsdirect.Parallel).In("").EBS
	return r
}

// encryption tells how a snapshot is encrypted. Where the image needs no copy for anything else, it need not be copied for its key.
func (im *importing) encryption() ami.Encryption {
	e := im.wanted.Encryption
	arn := strings.HasPrefix(e.Key, "arn:") // StartSnapshot takes keys by nothing else
	if !im.args.Encrypt || e.Key != "" && !arn || e.RegionKeys[im.maker.Home] != "" {
		return ami.Encryption{}
	}
	if len(im.wanted.Touched(im.maker.Home)) == 1 {
		im.wanted.Encryption = ami.Encryption{}
	}
	return e
}

func (im *importing) options(i int, e ami.Encryption) ebsdirect.Options {
	o := ebsdirect.Options{Description: im.wanted.Description, Tags: account.Tags(im.Tag, im.wanted.Name, im.wanted.Tags), Encrypt: e.Boot != nil, KMSKey: e.Key, Journal: im.journal(i)}
	title := "uploading to " + im.maker.Home
	if len(im.Files) > 1 {
		title = fmt.Sprintf("uploading disk %d to %s", i+1, im.maker.Home)
	}
	if im.Progress != nil {
		o.Progress = func(done, total int64) { im.Progress(title, done, total) }
	}
	return o
}

// journal is the file of the i-th disk.
func (im *importing) journal(i int) string {
	if im.Journal == "" {
		return ""
	}
	return fmt.Sprintf("%s-%d", im.Journal, i)
}

// forget removes the journals of an import that is done.
func (im *importing) forget() error {
	var errs error
	for i := range im.Files {
		errs = errors.Join(errs, ebsdirect.Forget(im.journal(i)))
	}
	return errs
}

// mapping is the i-th disk of an image.
func mapping(i int, snapshot string, gib int32) types.BlockDeviceMapping {
	name := rootDevice
	if i > 0 {
		name = "/dev/sd" + string(rune('a'+i))
	}
	return types.BlockDeviceMapping{DeviceName: &name, Ebs: &types.EbsBlockDevice{
		SnapshotId: &snapshot, VolumeSize: &gib, VolumeType: types.VolumeTypeGp3, DeleteOnTermination: aws.Bool(true),
	}}
}

// classic imports the file through a bucket.
func (im *importing) classic(ctx context.Context) ([]ami.Image, error) {
	job := im.job()
	if err := job.Upload(ctx, im.Files[0].Path, im.uploaded()); err != nil {
		return nil, err
	}
	images, err := im.imported(ctx, job)
	if err != nil {
		return nil, err
	}
	if im.args.SkipClean {
		return images, nil
	}
	return images, job.DeleteObject(ctx)
}

func (im *importing) uploaded() func(done, total int64) {
	if im.Progress == nil {
		return nil
	}
	return func(done, total int64) { im.Progress("uploading to "+im.args.Bucket, done, total) }
}

func (im *importing) job() *s3import.Job {
	a := im.args
	return &s3import.Job{
		Region: im.account.In(""), S3: im.account.S3(""), Owner: im.Tag, Name: im.Name, Bucket: a.Bucket, Key: cmp.Or(a.Key, im.Name+"."+a.format()),
		Encryption: a.Encryption, EncryptionKey: a.EncryptionKey, Format: a.format(), Role: a.Role, Description: im.wanted.Description, Tell: im.tell,
	}
}

// imported has the service make an image, or a snapshot, of the object, and makes of that the image that the user wants.
func (im *importing) imported(ctx context.Context, job *s3import.Job) ([]ami.Image, error) {
	hardware, err := im.args.hardware(im.ImportRequest)
	if err != nil {
		return nil, err
	}
	if im.args.Kind != "snapshot" {
		platform := map[string]string{"linux": "Linux", "windows": "Windows"}[strings.ToLower(im.args.Platform)]
		made, err := job.Image(ctx, s3import.Guest{Architecture: string(hardware.Architecture), Platform: platform, BootMode: string(hardware.BootMode), License: im.args.License})
		if err != nil {
			return nil, err
		}
		return im.maker.FromImage(ctx, made.Image, im.wanted)
	}
	made, err := job.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if len(made.Snapshots) == 0 {
		return nil, errors.New("the import has made no snapshot")
	}
	return im.register(ctx, made.Snapshots[0], hardware)
}

// register makes an image of a snapshot that VM Import made. It gets the owner's tags, and is the image's from then on.
func (im *importing) register(ctx context.Context, id string, h ami.Hardware) ([]ami.Image, error) {
	r := im.account.In("")
	if err := r.Poll.Settle(ctx, account.IsNotFound, func(ctx context.Context) error {
		_, err := r.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: account.Tags(im.Tag, im.wanted.Name, im.wanted.Tags)})
		return err
	}); err != nil {
		return nil, err
	}
	var size int32
	if err := r.Poll.UntilSeen(ctx, id+" to be there", func(ctx context.Context) (bool, error) {
		out, err := r.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
		if err != nil || len(out.Snapshots) == 0 {
			return false, err
		}
		size = aws.ToInt32(out.Snapshots[0].VolumeSize)
		return true, nil
	}); err != nil {
		return nil, err
	}
	im.wanted.Devices = []types.BlockDeviceMapping{mapping(0, id, size)}
	return im.maker.FromSnapshots(ctx, h, im.wanted)
}

// RemoveImport implements hypervisor.Importer.
func (d *Driver) RemoveImport(ctx context.Context, h hypervisor.ImportHandle) error {
	im, err := d.openImport(ctx, hypervisor.ImportRequest{ImportHandle: h})
	if err != nil {
		return err
	}
	if im.wanted, err = im.args.wanted("removed", ""); err != nil {
		return err
	}
	// Images first: they stand on the snapshots of tasks.
	failed := im.maker.Sweep(ctx, im.wanted.Touched(im.maker.Home))
	if im.args.Bucket != "" {
		failed = errors.Join(failed, im.job().Clean(ctx))
	}
	return failed
}

// unfit is what a name of an image cannot have.
var unfit = regexp.MustCompile(`[^A-Za-z0-9()\[\] ./'@_-]+`)

// cleanName makes a name that an image can have.
func cleanName(title string) string {
	const most, least = 128, "ami"
	name := unfit.ReplaceAllString(title, "-")
	name = name[:min(len(name), most)]
	if len(name) < len(least) {
		name += "-" + least
	}
	return name
}
