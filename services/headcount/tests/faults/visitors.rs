//! Visitors: distinct people, by address and browser, whichever nodes their connections lead to.

use headcount_testkit::{
    Manner, Opening, Viewers,
    client::{Disguise, ProxyVersion},
    rig::{NodeOptions, RedisServer, resp::Value, wait_until},
};

use crate::{
    fleet::{BALANCER, COUNTER, Fleet, Post},
    promise::{DAMPED, GONE, HEALED, Promise, SOON},
    store,
};

pub(crate) fn visitors_are_people_not_connections() {
    let redis = RedisServer::start().unwrap();
    let mut fleet = behind_a_balancer(&redis, 3);
    for post in &mut fleet.posts {
        // The same four people at each node, three times each.
        join(post, 12, "192.0.2.1", 4, "one browser");
    }
    are(&fleet, 4, &Promise::begin("4 people with 36 connections to 3 nodes: the visitors", SOON));
    // Their other browsers are others to us, as are other people.
    join(&mut fleet.posts[0], 4, "192.0.2.1", 4, "another browser");
    join(&mut fleet.posts[1], 2, "198.51.100.7", 2, "one browser");
    are(&fleet, 10, &Promise::begin("another browser each, and two more people: the visitors", SOON));
    // IPv6 changes within a household's /64 by itself, several times a day.
    join(&mut fleet.posts[0], 1, "2001:db8:1:1::1", 1, "one browser");
    join(&mut fleet.posts[1], 1, "2001:db8:1:1:2:3:4:5", 1, "one browser");
    join(&mut fleet.posts[2], 1, "2001:db8:1:2::1", 1, "one browser");
    are(&fleet, 12, &Promise::begin("three IPv6 addresses in two networks: the visitors", SOON));
    let url = fleet.posts[2].node.url(&format!("{COUNTER}.png?show=visitors"));
    let manner = manner("192.0.2.1", 1, "one browser");
    let watching = Viewers::start(Opening { count: 1, urls: vec![url], manner, ..Opening::default() }).unwrap();
    watching.all_see(12, SOON).unwrap();
    // The four with their first browsers leave one node, and are still at the two others.
    fleet.posts[0].leave(12);
    drop(watching);
    are(&fleet, 12, &Promise::begin("some of their connections close: the visitors", DAMPED));
    fleet.leave_nothing_within(DAMPED, &[&redis]);
}

pub(crate) fn visitors_survive_faults() {
    let redis = RedisServer::start().unwrap();
    let mut fleet = behind_a_balancer(&redis, 3);
    for (post, first) in fleet.posts.iter_mut().zip(["192.0.2.1", "192.0.2.51", "192.0.2.101"]) {
        // Each node shares 50 of its 100 visitors with the next.
        join(post, 300, first, 100, "one browser");
    }
    are(&fleet, 200, &Promise::begin("200 people with 900 connections: the visitors", SOON));
    let healed = Promise::begin("FLUSHALL: the visitors are exact", HEALED);
    redis.command(&["FLUSHALL"]).unwrap();
    join(&mut fleet.posts[0], 1, "203.0.113.9", 1, "one browser");
    are(&fleet, 201, &healed);
    let mut victim = fleet.posts.pop().unwrap();
    let gone = Promise::begin("kill -9 of a node: those who were nowhere else leave the visitors", GONE);
    victim.node.kill();
    are(&fleet, 151, &gone);
    store::holds_besides_addresses(&redis, &fleet);
    fleet.leave_nothing_within(DAMPED, &[&redis]);
}

/// Whoever comes after Redis has lost everything, to whichever node, is the same visitor as before.
pub(crate) fn a_loss_changes_no_visitor() {
    let redis = RedisServer::start().unwrap();
    let mut fleet = behind_a_balancer(&redis, 2);
    for post in &mut fleet.posts {
        join(post, 8, "192.0.2.1", 4, "one browser");
    }
    are(&fleet, 4, &Promise::begin("4 people with 16 connections: the visitors", SOON));
    let known = Promise::begin("FLUSHALL: the key that makes visitors is back", HEALED);
    redis.command(&["FLUSHALL"]).unwrap();
    // A node that comes first makes another: who is known to the others is a stranger to it.
    let back = wait_until("the key", known.left(), || match redis.command(&["EXISTS", store::VISITOR_KEY]) {
        Ok(Value::Number(1)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    if let Err(found) = back {
        known.broken(found);
    }
    known.kept();
    fleet.posts.extend(behind_a_balancer(&redis, 1).posts);
    for post in &mut fleet.posts {
        join(post, 4, "192.0.2.1", 4, "one browser");
    }
    are(&fleet, 4, &Promise::begin("FLUSHALL, a new node, and the same 4 people come again: the visitors", HEALED));
    fleet.leave_nothing_within(DAMPED, &[&redis]);
}

fn behind_a_balancer(redis: &RedisServer, nodes: usize) -> Fleet {
    let options = || NodeOptions::redis(redis.url()).with(["--proxy-protocol-from", BALANCER]);
    Fleet { posts: (0..nodes).map(|_| Post::start(options(), 0)).collect() }
}

fn join(post: &mut Post, viewers: usize, first: &str, people: u32, browser: &str) {
    post.join_as(viewers, manner(first, people, browser));
    post.viewers.opened(crate::fleet::PATIENCE).unwrap();
}

fn manner(first: &str, people: u32, browser: &str) -> Manner {
    Manner {
        headers: vec![("User-Agent".into(), browser.into())],
        disguise: Some(Disguise { version: ProxyVersion::V2, first: first.parse().unwrap(), distinct: people }),
        source: Some(BALANCER.parse().unwrap()),
        ..Manner::default()
    }
}

/// Waits until every node says that there are so many visitors, and the exact number of viewers.
fn are(fleet: &Fleet, visitors: u64, promise: &Promise) {
    let truth = fleet.truth();
    for (index, post) in fleet.posts.iter().enumerate() {
        let said = wait_until("the visitors", promise.left(), || {
            let said = post.node.reading(COUNTER).map_err(|error| error.to_string())?;
            if (said.visitors, said.count) == (visitors, truth) { Ok(()) } else { Err(format!("{said:?}")) }
        });
        if let Err(found) = said {
            promise.broken(format!("node {index}: {found}, not {visitors} among {truth}"));
        }
    }
    promise.kept();
}
