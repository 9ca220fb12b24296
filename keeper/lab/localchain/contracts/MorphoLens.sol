// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

struct Params {
    address loanToken;
    address collateralToken;
    address oracle;
    address irm;
    uint256 lltv;
}

interface IMorpho {
    function position(bytes32 id, address user) external view returns (uint256, uint128, uint128);
    function market(bytes32 id) external view returns (uint128, uint128, uint128, uint128, uint128, uint128);
    function accrueInterest(Params memory params) external;
    function repay(Params memory params, uint256 assets, uint256 shares, address onBehalf, bytes memory data) external;
    function liquidate(Params memory params, address borrower, uint256 seized, uint256 shares, bytes memory data) external;
}

/// Asks a Morpho market what it has no view for, by calls that are always reverted: what an account would repay, and
/// whether it may be liquidated. The figures are the contract's own, at the time of the call, and nothing is computed
/// here. Meant for eth_call.
contract MorphoLens {
    struct Account {
        uint256 supplyShares;
        uint256 borrowShares;
        uint256 collateral;
        uint256 debt;
        bool healthy;
    }

    error Debt(uint256 assets);
    error Unhealthy();

    bytes32 private constant HEALTHY = keccak256(abi.encodeWithSignature("Error(string)", "position is healthy"));

    function look(IMorpho morpho, Params calldata params, address[] calldata users)
        external
        returns (uint256[6] memory totals, Account[] memory accounts)
    {
        bytes32 id = keccak256(abi.encode(params));
        accounts = new Account[](users.length);
        for (uint256 i = 0; i < users.length; i++) {
            Account memory account = accounts[i];
            (account.supplyShares, account.borrowShares, account.collateral) = morpho.position(id, users[i]);
            if (account.borrowShares != 0) account.debt = debtOf(morpho, params, users[i], account.borrowShares);
            account.healthy = isHealthy(morpho, params, users[i]);
        }
        morpho.accrueInterest(params); // last, so that positions are those that are stored
        (totals[0], totals[1], totals[2], totals[3], totals[4], totals[5]) = morpho.market(id);
    }

    function debtOf(IMorpho morpho, Params calldata params, address user, uint256 shares) private returns (uint256) {
        try morpho.repay(params, 0, shares, user, hex"00") {
            revert("was not called back");
        } catch (bytes memory data) {
            require(data.length == 36 && bytes4(data) == Debt.selector, "repay failed");
            assembly {
                shares := mload(add(data, 36))
            }
            return shares;
        }
    }

    /// Seizing one unit is refused for health before anything else is looked at.
    function isHealthy(IMorpho morpho, Params calldata params, address user) private returns (bool) {
        try morpho.liquidate(params, user, 1, 0, hex"00") {
            revert("was not called back");
        } catch (bytes memory data) {
            return keccak256(data) == HEALTHY;
        }
    }

    function onMorphoRepay(uint256 assets, bytes calldata) external pure {
        revert Debt(assets);
    }

    function onMorphoLiquidate(uint256, bytes calldata) external pure {
        revert Unhealthy();
    }
}
