//! Networks of a recipe's layers, for the comparison with libtorch.

/// Layers by the types that they are about; each reads an image and is followed by `flatten` and `dense`.
pub(super) const NETWORKS: &[(&str, &str)] = &[
    (
        "conv2d",
        "{type=conv2d filters=6 kernel=[3,2] stride=[2,1] padding=same activation=relu6} \
         {type=conv2d filters=4 kernel=3 dilation=[1,2] groups=2 activation=leaky_relu}",
    ),
    (
        "depthwise_conv2d",
        "{type=conv2d filters=3 kernel=2 stride=2} \
         {type=depthwise_conv2d kernel=3 multiplier=2 padding=same activation=tanh} \
         {type=depthwise_conv2d kernel=2 dilation=3 stride=2}",
    ),
    (
        "conv1d",
        "{type=reshape shape=[28,28]} {type=conv1d filters=6 kernel=4 stride=2 padding=same activation=relu} \
         {type=conv1d filters=4 kernel=3 dilation=2 groups=2}",
    ),
    (
        "pools",
        "{type=conv2d filters=3 kernel=3} {type=max_pool2d size=3 stride=2 padding=same} \
         {type=avg_pool2d size=[3,2] stride=2 padding=same}",
    ),
    (
        "global pools",
        "{type=conv2d name=c filters=5 kernel=5 stride=3} {type=global_max_pool name=max} \
         {type=global_avg_pool inputs=[c] name=mean} {type=concat inputs=[max,mean]}",
    ),
    (
        "global pools of sequences",
        "{type=reshape name=s shape=[49,16]} {type=global_max_pool name=max} \
         {type=global_avg_pool inputs=[s] name=mean} {type=mul inputs=[max,mean]}",
    ),
    (
        "activations",
        "{type=flatten} {type=dense units=12 activation=hard_sigmoid} {type=dense units=11} {type=leaky_relu slope=0.3} \
         {type=dense units=12 activation=relu6} {type=rrelu} {type=dense units=9} {type=tanh} {type=dense units=8} \
         {type=sigmoid} {type=dense units=8} {type=hard_sigmoid} {type=dense units=8 activation=step} {type=dense units=8} \
         {type=relu6}",
    ),
    (
        "prelu",
        "{type=conv2d filters=4 kernel=4 stride=3} {type=prelu}",
    ),
    (
        "batch norm, folded",
        "{type=conv2d filters=4 kernel=3 stride=2} {type=batch_norm} {type=relu} {type=flatten} {type=dense units=7} \
         {type=batch_norm epsilon=0.01} {type=tanh}",
    ),
    (
        "batch norm, apart",
        "{type=batch_norm} {type=conv2d filters=4 kernel=3 stride=2 activation=relu} {type=batch_norm} \
         {type=reshape shape=[26,26]} {type=batch_norm} {type=flatten} {type=dense units=6 activation=tanh} \
         {type=batch_norm}",
    ),
    (
        "dense along a sequence",
        "{type=reshape shape=[28,28]} {type=dense units=5 activation=relu} {type=dense units=3}",
    ),
    (
        "rnn",
        "{type=reshape shape=[28,28]} {type=rnn units=5 return=sequence} {type=rnn units=4 activation=relu}",
    ),
    (
        "lstm",
        "{type=reshape shape=[28,28]} {type=lstm units=5 return=sequence} {type=lstm units=4}",
    ),
    (
        "gru",
        "{type=reshape shape=[28,28]} {type=gru units=5 return=sequence} {type=gru units=4}",
    ),
    (
        "bidirectional",
        "{type=reshape shape=[14,56]} {type=lstm units=3 return=sequence bidirectional=true} \
         {type=gru units=4 bidirectional=true}",
    ),
    (
        "sequence to sequence",
        "{type=reshape shape=[14,56]} {type=gru units=4 return=sequence bidirectional=true} \
         {type=rnn units=5 return=sequence bidirectional=true activation=relu} {type=dense units=4 activation=tanh} \
         {type=lstm units=3 return=sequence}",
    ),
    (
        "log-softmax",
        "{type=flatten name=f} {type=dense name=a units=9} {type=dense name=g inputs=[f] units=9 activation=log_softmax} \
         {type=mul inputs=[a,g]}",
    ),
    (
        "residual",
        "{type=conv2d name=a filters=4 kernel=3 padding=same} {type=conv2d name=b filters=4 kernel=3 padding=same} \
         {type=add inputs=[a,b] activation=relu} {type=max_pool2d size=4}",
    ),
    (
        "gate",
        "{type=flatten name=f} {type=dense name=a units=9} {type=dense name=g inputs=[f] units=9 activation=softmax} \
         {type=mul inputs=[a,g]}",
    ),
    (
        "squeeze and excite",
        "{type=conv2d name=c filters=4 kernel=3 stride=2} {type=global_avg_pool} {type=dense units=4 activation=sigmoid \
         name=g} {type=mul inputs=[c,g]} {type=reshape shape=[52,13] name=s} {type=rnn units=13 name=r} \
         {type=add inputs=[s,r,r]}",
    ),
    (
        "concat",
        "{type=conv2d name=a filters=2 kernel=3 stride=2} {type=conv2d name=b inputs=[image] filters=3 kernel=3 stride=2} \
         {type=concat inputs=[a,b]} {type=conv2d filters=2 kernel=3}",
    ),
    (
        "concat of rows",
        "{type=conv2d name=a filters=2 kernel=3 stride=2} {type=max_pool2d name=b size=3} \
         {type=concat inputs=[a,a] axis=0} {type=max_pool2d size=2 name=c} {type=flatten inputs=[c] name=d} \
         {type=flatten inputs=[b] name=e} {type=concat inputs=[d,e]}",
    ),
    (
        "pad and transpose",
        "{type=pad amounts=[[1,2],[0,3],[0,1]]} {type=transpose axes=[1,0,2]} {type=conv2d filters=2 kernel=3 stride=2} \
         {type=transpose axes=[2,0,1]}",
    ),
    (
        "repeat",
        "{type=flatten} {type=dense units=4} {type=repeat steps=3} {type=lstm units=3 return=sequence}",
    ),
    (
        "shared weights",
        "{type=flatten} {type=dense name=in units=6} {type=dense name=a units=6 activation=tanh} \
         {type=dense name=b units=6 shares=a activation=tanh} {type=dense units=6 shares=b}",
    ),
    (
        "one lstm at two places",
        "{type=reshape name=rows shape=[28,28]} {type=lstm name=a units=3} \
         {type=transpose inputs=[rows] axes=[1,0]} {type=lstm name=b units=3 shares=a} {type=add inputs=[a,b]}",
    ),
    (
        "embedding",
        "{type=flatten} {type=dense units=5 activation=step} {type=embedding vocabulary=2 units=3}",
    ),
    (
        "one_hot",
        "{type=flatten} {type=dense units=5 activation=step} {type=one_hot classes=3}",
    ),
];
