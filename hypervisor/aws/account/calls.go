package account

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Region is what can be asked in one region. Tests replace single calls.
type Region struct {
	Name string
	Poll Poll // how states are waited for
	EC2  EC2
	EBS  EBS
	STS  STS
	SSM  SSM
}

// Optional is a parameter of a call, nil to leave it out when nothing is given.
func Optional[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// Call is one action of a service. Its errors went through [Explain].
type Call[In, Out any] func(ctx context.Context, in *In) (*Out, error)

// Pages makes a call for page after page of its answer. token is where in has the token of a page, and each takes a page and returns
// the token of the next.
func Pages[In, Out any](ctx context.Context, call Call[In, Out], in *In, token **string, each func(*Out) (next *string)) error {
	for {
		out, err := call(ctx, in)
		if err != nil {
			return err
		}
		if *token = each(out); aws.ToString(*token) == "" {
			return nil
		}
	}
}

// EC2 is what is asked of EC2: an action is called here or nowhere.
type EC2 struct {
	AuthorizeSecurityGroupIngress        Call[ec2.AuthorizeSecurityGroupIngressInput, ec2.AuthorizeSecurityGroupIngressOutput]
	CancelImportTask                     Call[ec2.CancelImportTaskInput, ec2.CancelImportTaskOutput]
	CopyImage                            Call[ec2.CopyImageInput, ec2.CopyImageOutput]
	CreateImage                          Call[ec2.CreateImageInput, ec2.CreateImageOutput]
	CreateSecurityGroup                  Call[ec2.CreateSecurityGroupInput, ec2.CreateSecurityGroupOutput]
	CreateTags                           Call[ec2.CreateTagsInput, ec2.CreateTagsOutput]
	DeleteKeyPair                        Call[ec2.DeleteKeyPairInput, ec2.DeleteKeyPairOutput]
	DeleteSecurityGroup                  Call[ec2.DeleteSecurityGroupInput, ec2.DeleteSecurityGroupOutput]
	DeleteSnapshot                       Call[ec2.DeleteSnapshotInput, ec2.DeleteSnapshotOutput]
	DeleteVolume                         Call[ec2.DeleteVolumeInput, ec2.DeleteVolumeOutput]
	DeregisterImage                      Call[ec2.DeregisterImageInput, ec2.DeregisterImageOutput]
	DescribeImages                       Call[ec2.DescribeImagesInput, ec2.DescribeImagesOutput]
	DescribeImportImageTasks             Call[ec2.DescribeImportImageTasksInput, ec2.DescribeImportImageTasksOutput]
	DescribeImportSnapshotTasks          Call[ec2.DescribeImportSnapshotTasksInput, ec2.DescribeImportSnapshotTasksOutput]
	DescribeInstances                    Call[ec2.DescribeInstancesInput, ec2.DescribeInstancesOutput]
	DescribeKeyPairs                     Call[ec2.DescribeKeyPairsInput, ec2.DescribeKeyPairsOutput]
	DescribeSecurityGroups               Call[ec2.DescribeSecurityGroupsInput, ec2.DescribeSecurityGroupsOutput]
	DescribeSnapshots                    Call[ec2.DescribeSnapshotsInput, ec2.DescribeSnapshotsOutput]
	DescribeSubnets                      Call[ec2.DescribeSubnetsInput, ec2.DescribeSubnetsOutput]
	DescribeVolumes                      Call[ec2.DescribeVolumesInput, ec2.DescribeVolumesOutput]
	DescribeVpcs                         Call[ec2.DescribeVpcsInput, ec2.DescribeVpcsOutput]
	DisableImageDeregistrationProtection Call[ec2.DisableImageDeregistrationProtectionInput, ec2.DisableImageDeregistrationProtectionOutput]
	EnableImageDeprecation               Call[ec2.EnableImageDeprecationInput, ec2.EnableImageDeprecationOutput]
	EnableImageDeregistrationProtection  Call[ec2.EnableImageDeregistrationProtectionInput, ec2.EnableImageDeregistrationProtectionOutput]
	ImportImage                          Call[ec2.ImportImageInput, ec2.ImportImageOutput]
	ImportKeyPair                        Call[ec2.ImportKeyPairInput, ec2.ImportKeyPairOutput]
	ImportSnapshot                       Call[ec2.ImportSnapshotInput, ec2.ImportSnapshotOutput]
	ModifyImageAttribute                 Call[ec2.ModifyImageAttributeInput, ec2.ModifyImageAttributeOutput]
	ModifyInstanceAttribute              Call[ec2.ModifyInstanceAttributeInput, ec2.ModifyInstanceAttributeOutput]
	ModifySnapshotAttribute              Call[ec2.ModifySnapshotAttributeInput, ec2.ModifySnapshotAttributeOutput]
	RegisterImage                        Call[ec2.RegisterImageInput, ec2.RegisterImageOutput]
	RunInstances                         Call[ec2.RunInstancesInput, ec2.RunInstancesOutput]
	StartInstances                       Call[ec2.StartInstancesInput, ec2.StartInstancesOutput]
	StopInstances                        Call[ec2.StopInstancesInput, ec2.StopInstancesOutput]
	TerminateInstances                   Call[ec2.TerminateInstancesInput, ec2.TerminateInstancesOutput]
}

// EBS is what is asked of EBS direct.
type EBS struct {
	StartSnapshot    Call[ebs.StartSnapshotInput, ebs.StartSnapshotOutput]
	PutSnapshotBlock Call[ebs.PutSnapshotBlockInput, ebs.PutSnapshotBlockOutput]
	CompleteSnapshot Call[ebs.CompleteSnapshotInput, ebs.CompleteSnapshotOutput]
}

// STS is what is asked of the token service.
type STS struct {
	GetCallerIdentity Call[sts.GetCallerIdentityInput, sts.GetCallerIdentityOutput]
}

// SSM is what is asked of Session Manager.
type SSM struct {
	StartSession Call[ssm.StartSessionInput, ssm.StartSessionOutput]
}

// explained makes a Call of a method of a client. Options is the type of the client's options.
func explained[In, Out, Options any](action string, do func(context.Context, *In, ...func(*Options)) (*Out, error)) Call[In, Out] {
	return func(ctx context.Context, in *In) (*Out, error) {
		out, err := do(ctx, in)
		return out, Explain(err, action)
	}
}

func ec2Calls(c *ec2.Client) EC2 {
	return EC2{
		AuthorizeSecurityGroupIngress:        explained("ec2:AuthorizeSecurityGroupIngress", c.AuthorizeSecurityGroupIngress),
		CancelImportTask:                     explained("ec2:CancelImportTask", c.CancelImportTask),
		CopyImage:                            explained("ec2:CopyImage", c.CopyImage),
		CreateImage:                          explained("ec2:CreateImage", c.CreateImage),
		CreateSecurityGroup:                  explained("ec2:CreateSecurityGroup", c.CreateSecurityGroup),
		CreateTags:                           explained("ec2:CreateTags", c.CreateTags),
		DeleteKeyPair:                        explained("ec2:DeleteKeyPair", c.DeleteKeyPair),
		DeleteSecurityGroup:                  explained("ec2:DeleteSecurityGroup", c.DeleteSecurityGroup),
		DeleteSnapshot:                       explained("ec2:DeleteSnapshot", c.DeleteSnapshot),
		DeleteVolume:                         explained("ec2:DeleteVolume", c.DeleteVolume),
		DeregisterImage:                      explained("ec2:DeregisterImage", c.DeregisterImage),
		DescribeImages:                       explained("ec2:DescribeImages", c.DescribeImages),
		DescribeImportImageTasks:             explained("ec2:DescribeImportImageTasks", c.DescribeImportImageTasks),
		DescribeImportSnapshotTasks:          explained("ec2:DescribeImportSnapshotTasks", c.DescribeImportSnapshotTasks),
		DescribeInstances:                    explained("ec2:DescribeInstances", c.DescribeInstances),
		DescribeKeyPairs:                     explained("ec2:DescribeKeyPairs", c.DescribeKeyPairs),
		DescribeSecurityGroups:               explained("ec2:DescribeSecurityGroups", c.DescribeSecurityGroups),
		DescribeSnapshots:                    explained("ec2:DescribeSnapshots", c.DescribeSnapshots),
		DescribeSubnets:                      explained("ec2:DescribeSubnets", c.DescribeSubnets),
		DescribeVolumes:                      explained("ec2:DescribeVolumes", c.DescribeVolumes),
		DescribeVpcs:                         explained("ec2:DescribeVpcs", c.DescribeVpcs),
		DisableImageDeregistrationProtection: explained("ec2:DisableImageDeregistrationProtection", c.DisableImageDeregistrationProtection),
		EnableImageDeprecation:               explained("ec2:EnableImageDeprecation", c.EnableImageDeprecation),
		EnableImageDeregistrationProtection:  explained("ec2:EnableImageDeregistrationProtection", c.EnableImageDeregistrationProtection),
		ImportImage:                          explained("ec2:ImportImage", c.ImportImage),
		ImportKeyPair:                        explained("ec2:ImportKeyPair", c.ImportKeyPair),
		ImportSnapshot:                       explained("ec2:ImportSnapshot", c.ImportSnapshot),
		ModifyImageAttribute:                 explained("ec2:ModifyImageAttribute", c.ModifyImageAttribute),
		ModifyInstanceAttribute:              explained("ec2:ModifyInstanceAttribute", c.ModifyInstanceAttribute),
		ModifySnapshotAttribute:              explained("ec2:ModifySnapshotAttribute", c.ModifySnapshotAttribute),
		RegisterImage:                        explained("ec2:RegisterImage", c.RegisterImage),
		RunInstances:                         explained("ec2:RunInstances", c.RunInstances),
		StartInstances:                       explained("ec2:StartInstances", c.StartInstances),
		StopInstances:                        explained("ec2:StopInstances", c.StopInstances),
		TerminateInstances:                   explained("ec2:TerminateInstances", c.TerminateInstances),
	}
}

func ebsCalls(c *ebs.Client) EBS {
	return EBS{
		StartSnapshot:    explained("ebs:StartSnapshot", c.StartSnapshot),
		PutSnapshotBlock: explained("ebs:PutSnapshotBlock", c.PutSnapshotBlock),
		CompleteSnapshot: explained("ebs:CompleteSnapshot", c.CompleteSnapshot),
	}
}

func stsCalls(c *sts.Client) STS {
	return STS{
		GetCallerIdentity: explained("sts:GetCallerIdentity", c.GetCallerIdentity),
	}
}

func ssmCalls(c *ssm.Client) SSM {
	return SSM{StartSession: explained("ssm:StartSession", c.StartSession)}
}

// Whoami tries the credentials, and returns the account's number and the ARN of who asks.
func (r *Region) Whoami(ctx context.Context) (number, arn string, err error) {
	out, err := r.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", "", err
	}
	return aws.ToString(out.Account), aws.ToString(out.Arn), nil
}
